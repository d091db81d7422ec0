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
from urllib.parse import urlsplit

import pytest

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
    """Open pages: `open_page(address, width=1280, scheme="light")`; at the end none had a fault.

    A fault is a console error, an uncaught exception, a dialog, or a request outside loopback.
    A test that expects one names it: `open_page(address, allowed=("404",))`.
    """
    contexts, faults = [], []

    def open_page(
        address: str, width: int = 1280, height: int = 800, scheme="light", allowed=(), **more
    ):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **more
        )
        context.set_default_timeout(10_000)
        contexts.append(context)

        def check(route):
            url = urlsplit(route.request.url)
            if url.hostname == "127.0.0.1" or url.scheme in ("file", "data", "blob"):
                route.continue_()
            else:
                faults.append(f"asked for {route.request.url}")
                route.abort()

        def note(text: str) -> None:
            if not any(part in text for part in allowed):
                faults.append(text)

        def dismiss(dialog) -> None:
            faults.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        context.route("**/*", check)
        page = context.new_page()
        page.on("console", lambda m: note(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.on("dialog", dismiss)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


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


def has_no_sideways_scroll(page) -> bool:
    """Whether nothing is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
