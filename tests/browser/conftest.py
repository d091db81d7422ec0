"""A real server, a real browser: one Chromium a session, and pages that fail on any fault.

Chromium is the one of OVSAM_CHROMIUM, else Debian's. It resolves no name but 127.0.0.1, so that a
request outside loopback fails, and each request is looked at besides.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser_pages import Pages
from page_access import count_controls, find_faults, walk_by_tab

FALLBACKS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
# Where OVSAM_SHOTS names a folder, `shoot` writes there; else nothing is kept.
SHOTS = os.environ.get("OVSAM_SHOTS")


def pytest_collection_modifyitems(items):
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter):
    """Print how long the tests in a browser took together: at most 60 s on an idle machine."""
    folder = Path(__file__).parent.name
    reports = [r for rs in terminalreporter.stats.values() for r in rs if hasattr(r, "duration")]
    ours = [r for r in reports if f"/{folder}/" in r.nodeid]
    if ours:
        seconds = sum(r.duration for r in ours)
        terminalreporter.write_line(f"tests in a browser took {seconds:.1f} s together")


def find_chromium() -> str | None:
    wanted = os.environ.get("OVSAM_CHROMIUM")
    found = (shutil.which(name) for name in ([wanted] if wanted else FALLBACKS))
    return next(filter(None, found), None)


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'"
    )
    path = find_chromium()
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium, or set OVSAM_CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """Open pages as `Pages.open` does; at the end none of them had a fault."""
    pages = Pages(browser)
    yield pages.open
    pages.close()
    assert not pages.faults


@pytest.fixture(scope="session")
def shoot() -> Callable:
    """Keep a screenshot as NAME.png in the folder of OVSAM_SHOTS; without it do nothing."""

    def shoot(page, name: str, **options) -> None:
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}.png", **options)

    return shoot


@contextmanager
def run_server(app) -> Iterator[str]:
    """Run an application of `build_app` in a thread; yield the address of its page."""
    import uvicorn

    from ovsam_pipeline.ui.server import listen, make_config

    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(make_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/{app.state.security.token}/"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def serve_app() -> Iterator[Callable]:
    """Serve applications until the session ends: `serve_app(app)` → the page's address."""
    from contextlib import ExitStack

    with ExitStack() as running:
        yield lambda app: running.enter_context(run_server(app))


@pytest.fixture(scope="session")
def is_accessible() -> Callable:
    """Check a page as it is now: rules of WCAG, nothing wider than the window, Tab reaches all.

    `is_accessible(page, tab=False)` leaves the keyboard alone, as where a dialog is open.
    """

    def is_accessible(page, tab: bool = True) -> bool:
        assert not find_faults(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        if tab:
            stops = walk_by_tab(page)
            assert [s for s in stops if not (s["has_ring"] and s["is_seen"])] == []
            assert len(stops) >= count_controls(page)
        return True

    return is_accessible
