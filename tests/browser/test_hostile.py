"""Two hundred names that would run in a careless page: nothing runs, all of them are shown."""

import pytest
from hostile_names import make_class_names, make_file_names
from pictures_output import write_pictures_output

from ovsam_pipeline.commands.report_page import write_html
from ovsam_pipeline.ui.gallery.answers import Reviewer
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.gallery.routes import build_gallery_routes
from ovsam_pipeline.ui.security import Security
from ovsam_pipeline.ui.server import build_app

# Scrolls through a page; collects what a part of each card shows when nothing is on its way.
COLLECT = """async (part) => {
  const found = new Set();
  const inView = (card) => {
    const box = card.getBoundingClientRect();
    return box.height > 0 && box.bottom > 0 && box.top < innerHeight;
  };
  for (let at = 0; at < document.documentElement.scrollHeight; at += innerHeight * 0.8) {
    scrollTo(0, at);
    let parts = [];
    for (let i = 0; i < 100; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const cards = [...document.querySelectorAll('[data-testid=card]')].filter(inView);
      parts = cards.map((card) => card.querySelector(part));
      if (i > 3 && parts.every((e) => e && e.textContent !== '…')) break;
    }
    for (const e of parts) if (e) found.add(e.getAttribute('title') ?? e.textContent);
  }
  return [...found];
}"""


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    return write_pictures_output(folder, make_file_names(), make_class_names(), failed={3, 100})


@pytest.fixture(scope="module")
def gallery(output, serve_app):
    opened = OpenedOutput(output)
    start, routes = build_gallery_routes(opened, Reviewer(opened, "<b>ann</b>"))
    return serve_app(build_app(start, routes, Security.create()))


def nothing_ran(page):
    return page.evaluate("window.__ran") is None and page.title().endswith("ovsam")


def test_a_gallery_shows_them_literally(gallery, open_page, shoot):
    page = open_page(gallery)
    assert set(page.evaluate(COLLECT, ".card-name")) == set(make_file_names())
    listed = page.locator(".class-row bdi").all_text_contents()
    assert sorted(listed) == sorted(make_class_names())
    shoot(page, "hostile-gallery-1280")
    assert nothing_ran(page)


def test_a_gallery_of_objects_is_not_broken_on_a_phone(gallery, open_page, shoot):
    page = open_page(gallery)
    page.get_by_test_id("mode-objects").click()
    shown = set(page.evaluate(COLLECT, ".card-name bdi"))
    # Those of the two failed images' neighbours are on other images, too.
    assert shown == set(make_class_names())
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, "hostile-gallery-390")
    assert nothing_ran(page)


def _missing(names, texts):
    """Names that are in no text; white space in them may be drawn as one blank."""
    shown = " ".join("|".join(texts).split())
    return [name for name in names if " ".join(name.split()) not in shown]


@pytest.fixture(scope="module")
def report(output):
    path = output.parent / "report.html"
    write_html(str(output), str(path), None, ())
    return path.as_uri()


def test_a_report_shows_them_literally_on_a_phone(report, open_page, shoot):
    page = open_page(report)
    assert set(page.evaluate(COLLECT, ".card-name")) == set(make_file_names())
    page.set_viewport_size({"width": 390, "height": 800})
    cells = page.get_by_role("cell").all_text_contents()
    assert _missing(make_class_names(), cells) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, "hostile-report-390")
    assert page.evaluate("window.__ran") is None
