"""Two hundred names that would run in a careless page: nothing runs, all of them are shown."""

import re

import pytest
from hostile_names import make_class_names, make_file_names
from pictures_output import write_pictures_output

from ovsam_pipeline.commands.report_page import write_html
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.ui.demo.load import load_demo
from ovsam_pipeline.ui.demo.routes import build_demo_routes
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


# Scrolls through the demo's strip of images and collects their names.
COLLECT_STRIP = """async () => {
  const found = new Set();
  const strip = document.querySelector('[data-testid=strip]');
  for (let at = 0; at < strip.scrollHeight; at += strip.clientHeight / 2) {
    strip.scrollTop = at;
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (const e of document.querySelectorAll('[data-testid=strip-item]')) {
      found.add(e.textContent);
    }
  }
  return [...found];
}"""
# Accepts an object for each name, by boxes side by side; returns what was refused.
ACCEPT = """async ([row, names]) => {
  const refused = {};
  for (const [i, category] of names.entries()) {
    const [left, top] = [8 * (i % 10), 8 * Math.floor(i / 10)];
    const prompt = {points: [], box: [left, top, left + 12, top + 12], scribble: null};
    const body = JSON.stringify({row, category, prompt});
    const headers = {'Content-Type': 'application/json'};
    const answer = await fetch('api/accept', {method: 'POST', headers, body});
    if (!answer.ok) refused[category] = (await answer.json()).error;
  }
  return refused;
}"""


NO_NAME = "[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]"


@pytest.fixture(scope="module")
def demo(output, serve_app):
    """A demo on the pictures of the output; hidden files are not listed."""
    config = LabelConfig(sources=(str(output.parent / "images"),), model="nano", device="cpu")
    with load_demo(config, output.parent / "labels", "<b>ann</b>") as loaded:
        start, routes = build_demo_routes(loaded)
        yield serve_app(build_app(start, routes, Security.create()))


def _missing(names, texts):
    """Names that are in no text; white space in them may be drawn as one blank."""
    shown = " ".join("|".join(texts).split())
    return [name for name in names if " ".join(name.split()) not in shown]


def test_a_demo_shows_them_literally(demo, open_page, is_accessible, shoot):
    page = open_page(demo, allowed=("400",))
    page.get_by_test_id("file-size").filter(has_text="96").wait_for()
    shown = [name for name in make_file_names() if not name.startswith(".")]
    assert _missing(shown, page.evaluate(COLLECT_STRIP)) == []
    # Each is a mask of its own, which takes a while: one in three payloads.
    names = make_class_names()[:70:3]
    refused = page.evaluate(ACCEPT, [0, names])
    page.reload()
    page.get_by_test_id("accepted-object").first.wait_for()
    shown = page.get_by_test_id("accepted-object").all_text_contents()
    assert _missing([name for name in names if name not in refused], shown) == []
    # As names that a person types: lines and marks that turn the text around are no part of them.
    assert list(refused) == [name for name in names if re.search(NO_NAME, name.strip())]
    assert all(told.startswith("expected category as a name of") for told in refused.values())
    shoot(page, "hostile-demo-1280")
    assert is_accessible(page)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, "hostile-demo-390")
    assert page.evaluate("window.__ran") is None


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
