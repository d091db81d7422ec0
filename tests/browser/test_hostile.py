"""Two hundred names that would run in a careless page: nothing runs, all of them are shown."""

import pytest
from hostile_names import make_class_names, make_file_names
from pictures_output import write_pictures_output

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
      if (parts.length && parts.every((e) => e && e.textContent !== '…')) break;
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
    page = open_page(gallery, width=390)
    page.get_by_test_id("mode-objects").click()
    shown = set(page.evaluate(COLLECT, ".card-name bdi"))
    # Those of the two failed images' neighbours are on other images, too.
    assert shown == set(make_class_names())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, "hostile-gallery-390")
    assert nothing_ran(page)
