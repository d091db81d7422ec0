"""What all pages stand on, in a browser: nothing of others runs, and nobody else is asked."""

import pytest
from browser_pages import Pages
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from ovsam_pipeline.ui.security import MEGABYTE, Security
from ovsam_pipeline.ui.server import build_app, read_json

HOSTILE = (
    "</script><script>window.__ran=1</script><img src=x onerror=window.__ran=1>\u202e\u2028.jpg"
)


@pytest.fixture(scope="module")
def posted():
    return []


@pytest.fixture(scope="module")
def address(serve_app, posted):
    async def post(request):
        posted.append(await read_json(request))
        return JSONResponse({})

    async def measure(request):
        return JSONResponse(len(await request.body()))

    routes = [
        Route("/api/post", post, methods=["POST"]),
        Route("/upload", measure, methods=["POST"]),
    ]
    security = Security.create(max_upload_bytes=MEGABYTE)
    return serve_app(build_app({"kind": HOSTILE}, routes, security))


def test_hostile_start_data_is_shown_as_text(address, open_page):
    page = open_page(address)
    assert HOSTILE in page.locator("#root").text_content()
    assert page.evaluate("window.__ran") is None


def test_the_page_cannot_make_markup_out_of_text(address, open_page):
    page = open_page(address, allowed=("TrustedHTML", "trusted type"))
    code = "try { document.body.innerHTML = '<b>x</b>'; 'ran' } catch (error) { error.name }"
    assert page.evaluate(code) == "TypeError"


def test_uploads_that_are_too_large_are_told(address, open_page):
    """A browser shows the answer only if the server reads what it sends."""
    page = open_page(address, allowed=("413",))
    post = """async (megabytes) => {
        const headers = {'Content-Type': 'application/octet-stream'};
        const body = new Uint8Array(megabytes * 2 ** 20);
        const answer = await fetch('upload', {method: 'POST', headers, body});
        return [answer.status, await answer.json()];
    }"""
    assert page.evaluate(post, 1) == [200, MEGABYTE]
    told = {"error": "expected at most 1 MB in one request, got more"}
    # More than the buffers of a connection hold.
    assert page.evaluate(post, 4) == [413, told]


EVIL = """<!doctype html><title>evil</title><iframe name=frame src="ADDRESS"></iframe>
<form id=form method=post enctype=text/plain target=frame action="ADDRESSapi/post">
<input name='{"a' value='":1}'></form>"""
ATTACK = """async (address) => {
    const post = address + 'api/post';
    const json = {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'};
    const load = (resolve) => {
        const script = document.createElement('script');
        script.src = address + 'static/ovsam.js';
        script.onload = () => resolve('loaded');
        script.onerror = () => resolve('refused');
        document.head.append(script);
    };
    document.getElementById('form').submit();
    const attempts = {
        read: fetch(address).then((answer) => answer.text()),
        post: fetch(post, json).then((answer) => answer.status),
        blind: fetch(post, {...json, mode: 'no-cors'}).then((answer) => answer.type),
        script: new Promise(load),
    };
    const done = {};
    for (const [name, attempt] of Object.entries(attempts)) {
        done[name] = await attempt.catch((error) => error.name);
    }
    return done;
}"""


def test_a_page_of_another_site_gets_nothing_even_with_the_address(
    address, serve_app, posted, browser
):
    """It runs beside ours in the same browser, and has learnt the token somehow."""
    evil = Starlette(
        routes=[Route("/t/", lambda _: HTMLResponse(EVIL.replace("ADDRESS", address)))]
    )
    evil.state.security = Security("t")
    pages = Pages(browser)
    page = pages.open(serve_app(evil))
    done = page.evaluate(ATTACK, address)
    page.wait_for_timeout(300)
    frame = page.frame(name="frame")
    assert done == {
        "read": "TypeError",
        "post": "TypeError",
        "blind": "TypeError",
        "script": "refused",
    }
    assert "window.__ran" not in frame.evaluate("document.documentElement.textContent")
    assert posted == []
    pages.close()


def test_the_browser_reaches_nobody_else_and_tells_who_was_asked(address, browser):
    """What the other tests rely on."""
    pages = Pages(browser)
    page = pages.open(address, bypass_csp=True)
    ask = "fetch('http://evil.example/x').then(() => 'reached', () => 'not reached')"
    assert page.evaluate(ask) == "not reached"
    assert "asked for http://evil.example/x" in pages.faults
    page.evaluate("console.error('wrong')")
    page.evaluate("setTimeout(() => { throw new Error('thrown') })")
    page.evaluate("setTimeout(() => alert('hello'))")
    page.wait_for_timeout(200)
    assert {"wrong", "thrown", "dialog: hello"} <= set(pages.faults)
    pages.close()
