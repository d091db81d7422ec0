"""The page that all views stand on, in a browser."""

import pytest

from ovsam_pipeline.ui.security import Security
from ovsam_pipeline.ui.server import build_app

HOSTILE = (
    "</script><script>window.__ran=1</script><img src=x onerror=window.__ran=1>\u202e\u2028.jpg"
)


@pytest.fixture(scope="module")
def address(serve_app):
    return serve_app(build_app({"kind": HOSTILE}, [], Security.create()))


def test_hostile_start_data_is_shown_as_text(address, open_page):
    page = open_page(address)
    assert HOSTILE in page.locator("#root").text_content()
    assert page.evaluate("window.__ran") is None


def test_the_page_cannot_make_markup_out_of_text(address, open_page):
    page = open_page(address, allowed=("TrustedHTML", "trusted type"))
    code = "try { document.body.innerHTML = '<b>x</b>'; 'ran' } catch (error) { error.name }"
    assert page.evaluate(code) == "TypeError"
