"""Who may ask a local page for what."""

import asyncio
import logging

import pytest
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.ui.security import MEGABYTE, RESPONSE_HEADERS, Refusal, Security, is_loopback
from ovsam_pipeline.ui.server import build_app, read_json

TOKEN = "secret-secret-secret"
OCTETS = {"Content-Type": "application/octet-stream"}


async def echo(request):
    return JSONResponse(await read_json(request))


async def measure(request):
    return JSONResponse(len(await request.body()))


def fail(request):
    raise {"ours": DatasetError("expected x, got y"), "gone": Refusal("it is gone", 404)}.get(
        request.path_params["how"], RuntimeError("a secret of the inside")
    )


async def hold(request):
    return await run_in_threadpool(lambda: Response(b"held"))


def build(security=None, start=None):
    security = security or Security(TOKEN)
    routes = [
        Route("/echo", echo, methods=["POST"]),
        Route("/measure", measure, methods=["POST", "DELETE"]),
        Route("/fail/{how}", fail),
        Route("/hold", hold),
    ]
    return build_app({"kind": "gallery"} if start is None else start, routes, security)


@pytest.fixture
def client():
    return TestClient(build(), base_url="http://127.0.0.1:8000", follow_redirects=False)


def test_page_and_its_files_come_below_the_token(client):
    page = client.get(f"/{TOKEN}/")
    assert page.status_code == 200
    assert '"kind":"gallery"' in page.text
    for name, kind in (("ovsam.js", "javascript"), ("ovsam.css", "css"), ("NOTICE.txt", "plain")):
        answer = client.get(f"/{TOKEN}/static/{name}")
        assert (answer.status_code, kind in answer.headers["content-type"]) == (200, True)


def test_no_address_is_longer_than_any_of_ours(client):
    answer = client.get(f"/{TOKEN}/static/{'9' * 5000}")
    assert answer.status_code == 414
    assert "expected an address of at most 2,000 letters" in answer.json()["error"]


def test_missing_slash_is_added(client):
    answer = client.get(f"/{TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{TOKEN}/")
    assert client.get(f"/{TOKEN}", follow_redirects=True).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/static/ovsam.js",
        "/secret/",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        f"//{TOKEN}/",
        "/hold",
    ],
)
def test_without_the_token_nothing_is_told(client, path):
    answer = client.get(path)
    assert answer.status_code == 403
    assert answer.json()["error"].startswith("expected the token of this server; open the address")
    assert TOKEN not in answer.text


def test_a_person_is_told_in_plain_text(client):
    answer = client.get("/", headers={"Accept": "text/html,*/*"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("expected the token")


@pytest.mark.parametrize("kind", ["Bearer", "Token", "bearer"])
def test_token_may_be_in_the_header(client, kind):
    assert client.get("/hold", headers={"Authorization": f"{kind} {TOKEN}"}).text == "held"


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "", "Bearer é"]
)
def test_wrong_header_is_no_token(client, value):
    assert client.get("/hold", headers={"Authorization": value.encode()}).status_code == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9", "localhost:8000", "LOCALHOST", "[::1]:8000"]
)
def test_own_hosts_are_taken_with_any_port(client, host):
    """The port is another one behind `ssh -L`."""
    assert client.get(f"/{TOKEN}/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1", "[bad", "", "a b"],
)
def test_other_hosts_are_refused(client, host):
    """As of a page whose name was made to point here (DNS rebinding)."""
    answer = client.get(f"/{TOKEN}/", headers={"Host": host})
    assert answer.status_code == 403
    assert "expected the Host header to name this server" in answer.json()["error"]


def test_two_hosts_are_refused(client):
    headers = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    assert client.get(f"/{TOKEN}/", headers=headers).status_code == 403


def test_an_open_server_takes_addresses_its_name_and_names_that_were_typed(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Lab7")
    monkeypatch.setattr("socket.getfqdn", lambda: "lab7.example")
    security = Security.create("0.0.0.0", ["Ovsam"])
    assert security.is_open
    for host in (
        "10.0.0.1:80",
        "lab7",
        "lab7.example:8000",
        "ovsam:9",
        "[fe80::1]:80",
        "localhost",
    ):
        assert security.knows_host(host), host
    assert not security.knows_host("evil.example")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("lab7", False)],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9"},
     {"Origin": "[bad"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)  # fmt: skip
def test_pages_of_other_sites_change_nothing(client, headers):
    answer = client.post(f"/{TOKEN}/echo", json={}, headers=headers)
    assert answer.status_code == 403
    assert "of another site" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_own_page_and_programs_may_post(client, headers):
    assert client.post(f"/{TOKEN}/echo", json={"a": 1}, headers=headers).json() == {"a": 1}


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
def test_what_a_form_could_send_is_refused(client, kind):
    answer = client.post(f"/{TOKEN}/echo", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "expected Content-Type application/json" in answer.json()["error"]


def test_deletion_needs_no_type(client):
    assert client.delete(f"/{TOKEN}/measure").json() == 0
    assert client.request("DELETE", f"/{TOKEN}/measure", content=b"x").status_code == 415


def send_parts(count, size):
    for _ in range(count):
        yield bytes(size)


@pytest.mark.parametrize("is_declared", [True, False])
def test_sizes_are_limited(client, is_declared):
    def post(size, kind):
        body = bytes(size) if is_declared else send_parts(size // 1024, 1024)
        return client.post(f"/{TOKEN}/measure", content=body, headers={"Content-Type": kind})

    assert post(MEGABYTE, "application/json").json() == MEGABYTE
    answer = post(MEGABYTE + 1024, "application/json")
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "expected at most 1 MB in one request, got more",
    )
    assert post(2 * MEGABYTE, "application/octet-stream").json() == 2 * MEGABYTE


def test_limit_of_uploads():
    security = Security(TOKEN, max_upload_bytes=2 * MEGABYTE)
    client = TestClient(build(security), base_url="http://127.0.0.1")
    answer = client.post(f"/{TOKEN}/measure", content=bytes(3 * MEGABYTE), headers=OCTETS)
    assert (answer.status_code, "at most 2 MB" in answer.json()["error"]) == (413, True)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [({"body_seconds": 0.05}, 0.02), ({"pause_seconds": 0.05}, 10)],
    ids=["drips", "stops"],
)
def test_slow_bodies_end(limits, seconds):
    """A sender that stops in the middle is told so, and holds nothing."""
    app, told = build(Security(TOKEN, **limits)), []

    async def receive():
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message):
        told.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": f"/{TOKEN}/echo", "headers": headers,
             "query_string": b"", "root_path": "", "app": app}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert told[0]["status"] == 408
    assert b"expected the whole request within" in told[1]["body"]


def test_a_request_that_ends_early_is_no_fault_of_ours(caplog):
    app, told = build(), []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        told.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": f"/{TOKEN}/echo", "headers": headers,
             "query_string": b"", "root_path": "", "app": app}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert told[0]["status"] == 400
    assert not caplog.records


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '"\\ud800"', "\xff", "1e999"])
def test_bad_json_is_told(client, text):
    headers = {"Content-Type": "application/json"}
    content = text.encode("latin-1")
    answer = client.post(f"/{TOKEN}/echo", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("expected a JSON object, got ")
    assert len(answer.text) < 300


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "TRACE"])
def test_other_methods_are_refused_without_cors(client, method):
    answer = client.request(
        method, f"/{TOKEN}/hold", json={}, headers={"Origin": "http://127.0.0.1:8000"}
    )
    assert answer.status_code == 405
    assert answer.json()["error"].startswith("expected GET or HEAD for this address, got ")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_head_is_a_get_without_a_body(client):
    assert client.head(f"/{TOKEN}/").status_code == 200
    assert client.head("/").status_code == 403


@pytest.mark.parametrize(
    "name",
    ["../security.py", "..%2fsecurity.py", "%2e%2e/security.py", "ovsam.js/..", "%00",
     "....//security.py", "/etc/passwd", "%2fetc%2fpasswd", "ovsam.js%00", "ovsam.ts", ""],
)  # fmt: skip
def test_nothing_but_three_files_is_served(client, name):
    assert client.get(f"/{TOKEN}/static/{name}").status_code in (404, 403)


def test_every_answer_has_the_headers(client):
    for path in (f"/{TOKEN}/", f"/{TOKEN}/static/ovsam.js", "/", f"/{TOKEN}/nothing"):
        answer = client.get(path)
        assert {name: answer.headers.get(name) for name in RESPONSE_HEADERS} == RESPONSE_HEADERS
        assert answer.headers["cache-control"] == "no-store"
        assert not {"server", "set-cookie", "x-powered-by"} & set(answer.headers)
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_our_errors_become_sentences_and_others_are_logged(client, caplog):
    assert client.get(f"/{TOKEN}/fail/ours").json() == {"error": "expected x, got y"}
    assert client.get(f"/{TOKEN}/fail/ours").status_code == 400
    gone = client.get(f"/{TOKEN}/fail/gone")
    assert (gone.status_code, gone.json()) == (404, {"error": "it is gone"})
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"/{TOKEN}/fail/else")
    assert answer.status_code == 500
    assert "internal error (RuntimeError)" in answer.json()["error"]
    assert "secret of the inside" not in answer.text
    assert "secret of the inside" in caplog.text
    assert TOKEN not in caplog.text


def test_start_data_may_be_made_for_each_visit():
    visits = iter(range(3))
    client = TestClient(
        build(start=lambda: {"kind": "demo", "visit": next(visits)}), base_url="http://127.0.0.1"
    )
    for visit in range(2):
        assert f'"visit":{visit}' in client.get(f"/{TOKEN}/").text


def test_tokens_are_random_or_that_of_the_variable(monkeypatch):
    monkeypatch.delenv("OVSAM_UI_TOKEN", raising=False)
    tokens = {Security.create().token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) == 32
    monkeypatch.setenv("OVSAM_UI_TOKEN", "a" * 16)
    assert Security.create().token == "a" * 16
    assert "a" * 16 not in repr(Security.create())


@pytest.mark.parametrize(
    "token", ["short", "a" * 15, "a" * 201, "has/slash/in/its/middle", "é" * 20]
)
def test_weak_tokens_are_refused(monkeypatch, token):
    monkeypatch.setenv("OVSAM_UI_TOKEN", token)
    with pytest.raises(
        ConfigError, match=f"as 16 to 200 characters .* got {len(token)} characters"
    ):
        Security.create()
