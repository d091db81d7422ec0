"""Who may ask, for how much, and what a browser may do with the answer.

Every request passes `Guard` before any route: the Host header must name this server (a page of
another site can make its own name point to 127.0.0.1), the token must be in the path or in the
Authorization header, a request that changes something must not come from another site's page, and
its body must be small enough and arrive in time. Every response gets `RESPONSE_HEADERS`.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ovsam.errors import ConfigError

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "OVSAM_UI_TOKEN"
MEGABYTE = 2**20

# Nothing but our own files: no inline script or style, no other address, no frame, no form. Trusted
# types make innerHTML and its like throw, wherever they would be called.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
RESPONSE_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The address holds the token.
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# As much is read, and thrown away, of a body that is too large.
_MOST_READ = 2**30
# No address of ours is longer; Python reads no number of 4,300 digits.
_MOST_PATH = 2000
_READING = ("GET", "HEAD", "OPTIONS")
_UPLOADS = ("application/octet-stream", "image/")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
_TELL_ADDRESS = "open the address that the command printed: it contains a token"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    address = _read_address(host)
    return address is not None and address.is_loopback


def _read_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True)
class Security:
    """Who may ask for what; `Security.create` makes one for an address.

    Attributes:
        token: what each request has to know.
        host_names: names in the Host header under which this server is reached, in lower case.
        is_open: whether other machines can reach it; then IP addresses are taken as Host, too.
        max_json_bytes, max_upload_bytes: limits on request bodies, by their Content-Type.
        body_seconds: within which a body must have arrived; 64 MB take a while over a slow line.
        pause_seconds: the longest wait for the next part of a body.
    """

    token: str = field(repr=False)
    host_names: frozenset[str] = frozenset(_LOOPBACK_NAMES)
    is_open: bool = False
    max_json_bytes: int = MEGABYTE
    max_upload_bytes: int = 64 * MEGABYTE
    body_seconds: float = 300.0
    pause_seconds: float = 20.0

    @classmethod
    def create(
        cls,
        host: str = "127.0.0.1",
        allow_hosts: Iterable[str] = (),
        *,
        max_json_bytes: int = MEGABYTE,
        max_upload_bytes: int = 64 * MEGABYTE,
    ) -> Security:
        """Return the rules for a server that listens on `host`, with a new token.

        The token is that of the variable OVSAM_UI_TOKEN where it is set (an editor's settings keep
        an address), else a random one of 192 bits.

        Raises:
            ConfigError: OVSAM_UI_TOKEN is too short or has other characters than A-Z a-z 0-9 _ -.
        """
        names = {*_LOOPBACK_NAMES, host.lower(), *(name.lower() for name in allow_hosts)}
        if not is_loopback(host):
            names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(
            _choose_token(),
            frozenset(names),
            is_open=not is_loopback(host),
            max_json_bytes=max_json_bytes,
            max_upload_bytes=max_upload_bytes,
        )

    def knows_host(self, header: str) -> bool:
        """Return whether a Host header names this server; its port may be that of a tunnel."""
        name = _read_netloc(f"//{header}")[1]
        if name in self.host_names:
            return True
        # No other site's page has an address as its host unless that machine served it.
        return self.is_open and _read_address(name) is not None

    def knows_token(self, given: str) -> bool:
        """Return whether a text is the token, in a time that does not depend on the text."""
        return secrets.compare_digest(given.encode(), self.token.encode())


def _read_netloc(address: str) -> tuple[str, str]:
    """Return host with port, and the host's name, of an address; empty where it is none."""
    try:
        parts = urlsplit(address)
        return parts.netloc, parts.hostname or ""
    except ValueError:
        return "", ""


def _choose_token() -> str:
    given = os.environ.get(TOKEN_VARIABLE)
    if not given:
        return secrets.token_urlsafe(24)
    if not _TOKEN.fullmatch(given):
        raise ConfigError(
            f"expected {TOKEN_VARIABLE} as 16 to 200 characters out of A-Z a-z 0-9 _ -, got "
            f"{len(given)} characters; unset it for a random token"
        )
    return given


class Refusal(Exception):
    """A request that is answered by a sentence and an HTTP status, before or in a route."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.sentence, self.status = sentence, status


def json_error(sentence: str, status: int) -> Response:
    """Return the answer that pages and editors show: {"error": SENTENCE}."""
    return JSONResponse({"error": sentence}, status)


def _tell(scope: Scope, refusal: Refusal) -> Response:
    """Return the answer to a refused request: plain text where a person typed the address."""
    wants_page = "text/html" in Headers(scope=scope).get("accept", "")
    if scope["method"] == "GET" and wants_page:
        return PlainTextResponse(f"{refusal.sentence}\n", refusal.status)
    return json_error(refusal.sentence, refusal.status)


class Guard:
    """ASGI middleware: checks every request, bounds its body, and sets the response's headers.

    A request that is refused before its body is read ends the connection: uvicorn sees to that.
    """

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app, self._security = app, security
        # Bodies are held in memory while they arrive.
        self._uploads = asyncio.Semaphore(4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; WebSockets are closed, there are none."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._check_and_pass(scope, receive, answer)
        except Refusal as refusal:
            await _tell(scope, refusal)(scope, receive, answer)
        except Exception as error:
            # The path is not logged: it holds the token.
            logger.exception("a request failed")
            if answer.has_started:
                raise
            sentence = f"internal error ({type(error).__name__}); the log of the command says more"
            await json_error(sentence, 500)(scope, receive, answer)

    async def _check_and_pass(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        if len(scope["path"]) > _MOST_PATH:
            raise Refusal(f"expected an address of at most {_MOST_PATH:,} letters, got more", 414)
        if not self._take_token(scope, headers):
            await RedirectResponse(f"{self._security.token}/", 307)(scope, receive, answer)
            return
        if scope["method"] in _READING:
            await self._app(scope, receive, answer)
            return
        _check_same_site(headers)
        limit = self._choose_limit(scope, headers)
        if limit <= MEGABYTE:
            receive = await self._read_body(headers, receive, limit)
        else:
            async with self._uploads:
                receive = await self._read_body(headers, receive, limit)
        await self._app(scope, receive, answer)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1 or not self._security.knows_host(given[0]):
            raise Refusal(
                "expected the Host header to name this server; open it by the printed address, or "
                "start the command with --allow-host NAME",
                403,
            )

    def _take_token(self, scope: Scope, headers: Headers) -> bool:
        """Check the token; make the path relative to it. False: the slash behind it is missing."""
        first, slash, _ = scope["path"].removeprefix("/").partition("/")
        if self._security.knows_token(first):
            scope["root_path"] = f"/{first}"
            return bool(slash)
        if any(map(self._security.knows_token, _list_given_tokens(headers))):
            return True
        raise Refusal(f"expected the token of this server; {_TELL_ADDRESS}", 403)

    def _choose_limit(self, scope: Scope, headers: Headers) -> int:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return self._security.max_json_bytes
        if kind.startswith(_UPLOADS):
            return self._security.max_upload_bytes
        if scope["method"] == "DELETE" and headers.get("content-length", "0") == "0":
            return 0
        # Forms of other sites' pages can send only other kinds.
        raise Refusal(
            "expected Content-Type application/json, or application/octet-stream for an upload, "
            f"got {kind[:60] or 'none'}",
            415,
        )

    async def _read_body(self, headers: Headers, receive: Receive, limit: int) -> Receive:
        """Return a `receive` that gives the whole body, which is within its limits."""
        declared = int(headers.get("content-length", "0")[:20])
        limits = self._security
        try:
            async with asyncio.timeout(limits.body_seconds):
                body = await _collect(receive, limit, declared, limits.pause_seconds)
        except TimeoutError:
            raise Refusal(
                f"expected the whole request within {limits.body_seconds:g} s, without a pause of "
                f"{limits.pause_seconds:g} s",
                408,
            ) from None
        return _replay(body, receive)


def _list_given_tokens(headers: Headers) -> list[str]:
    """Return what may be the token in headers: programs have their own ways to send one.

    Label Studio sends a user and a password, X-AnyLabeling a header of its own.
    """
    kind, _, given = headers.get("authorization", "").partition(" ")
    own = headers.get("token", "")
    if kind.lower() in ("bearer", "token"):
        return [given.strip(), own]
    if kind.lower() == "basic":
        try:
            login = base64.b64decode(given, validate=True).decode()
        except ValueError:  # neither base64 nor UTF-8
            login = ""
        return [login.partition(":")[2], own]
    return [own]


def _check_same_site(headers: Headers) -> None:
    """Refuse what a page of another site sends; programs other than browsers set no such header."""
    is_foreign = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    origin = headers.get("origin")
    if is_foreign or (origin is not None and _read_netloc(origin)[0] != headers["host"]):
        raise Refusal("expected a request of this server's own page, got one of another site", 403)


def _refuse_size(limit: int) -> Refusal:
    size = f"{limit / MEGABYTE:g} MB" if limit >= MEGABYTE else f"{limit:,} bytes"
    return Refusal(f"expected at most {size} in one request, got more", 413)


async def _collect(receive: Receive, limit: int, declared: int, pause_seconds: float) -> bytes:
    """Return the body; one that is too large is read to its end, but not kept.

    A browser tells its page what was answered only when it could send all of its request.
    """
    parts: list[bytes] = []
    size, is_too_large = 0, declared > limit
    while True:
        async with asyncio.timeout(pause_seconds):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal("the request ended before its body did", 400)
        part = message.get("body", b"")
        size += len(part)
        is_too_large = is_too_large or size > limit
        if is_too_large:
            parts.clear()
        else:
            parts.append(part)
        if not message.get("more_body", False):
            break
        if size > _MOST_READ:
            raise _refuse_size(limit)
    if is_too_large:
        raise _refuse_size(limit)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    def replay() -> Awaitable[Message]:
        return _return(waiting.pop()) if waiting else receive()

    return replay


async def _return(message: Message) -> Message:
    return message


class _Answer:
    """A `send` that adds the headers of every response."""

    def __init__(self, send: Send, extra: Mapping[str, str] = RESPONSE_HEADERS) -> None:
        self._send, self._extra = send, extra
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            for name, value in self._extra.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)
