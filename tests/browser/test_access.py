"""A keyboard, a screen reader, a phone: each view, in both themes."""

import pytest
from page_access import find_faults
from pictures_output import write_pictures_output
from scored_folder import make_scores

from ovsam_pipeline.ui.gallery.answers import Reviewer
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.gallery.routes import build_gallery_routes
from ovsam_pipeline.ui.results.routes import build_results_routes
from ovsam_pipeline.ui.security import Security
from ovsam_pipeline.ui.server import build_app

WINDOWS = pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (390, "dark")], ids=["desk", "phone"]
)


@pytest.fixture(scope="module")
def results(tmp_path_factory, serve_app):
    start, routes = build_results_routes(make_scores(tmp_path_factory.mktemp("scores") / "scores"))
    return serve_app(build_app(start, routes, Security.create()))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, serve_app):
    names = [f"{number}.png" for number in range(30)]
    opened = OpenedOutput(
        write_pictures_output(tmp_path_factory.mktemp("access"), names, failed={2})
    )
    start, routes = build_gallery_routes(opened, Reviewer(opened, "ann"))
    return serve_app(build_app(start, routes, Security.create()))


@pytest.fixture(scope="module")
def editors(serve_app):
    one = {"name": "Label <b>Studio</b>", "path": "label-studio", "where": "Settings > Model."}
    start = {"kind": "editors", "labels": "nano", "editors": [one]}
    return serve_app(build_app(start, [], Security.create()))


def test_the_rules_find_what_is_wrong(editors, open_page):
    page = open_page(editors)
    page.evaluate("document.body.append(document.createElement('button'))")
    page.evaluate("document.body.append(document.createElement('img'))")
    found = [fault.partition(" ")[0] for fault in find_faults(page)]
    assert sorted(found) == ["button-name", "image-alt"]


@WINDOWS
def test_results(results, open_page, is_accessible, shoot, width, scheme):
    page = open_page(results, width=width, scheme=scheme)
    page.get_by_role("table").first.wait_for()
    shoot(page, f"results-{width}-{scheme}")
    assert is_accessible(page, tab=width == 1280)


@WINDOWS
def test_gallery(gallery, open_page, is_accessible, shoot, width, scheme):
    page = open_page(gallery, width=width, scheme=scheme)
    page.get_by_text("29.png").or_(page.get_by_text("3.png", exact=True)).first.wait_for()
    shoot(page, f"gallery-{width}-{scheme}")
    assert is_accessible(page, tab=width == 1280)
    page.get_by_test_id("card").nth(1).click()
    page.get_by_test_id("large").wait_for()
    shoot(page, f"large-{width}-{scheme}")
    assert is_accessible(page, tab=False)
    page.keyboard.press("?")
    page.get_by_test_id("keys").wait_for()
    for name in ("keys", "large"):
        page.keyboard.press("Escape")
        page.get_by_test_id(name).wait_for(state="hidden")


@WINDOWS
def test_addresses_of_editors(editors, open_page, is_accessible, width, scheme):
    page = open_page(editors, width=width, scheme=scheme)
    address = f"{page.url}label-studio"
    assert page.get_by_test_id("address-label-studio").text_content() == address
    assert page.get_by_role("heading", name="Label <b>Studio</b>").is_visible()
    assert is_accessible(page)
