"""One local web server for the pages and the editors: routes in, an address on stdout out."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from ovsam.checked_json import parse_json
from ovsam.errors import ConfigError, OvsamError, describe_error, show_value
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.terminal.app import Interrupted, print_result
from ovsam_pipeline.terminal.notes import print_note
from ovsam_pipeline.ui.patience import ImpatientProtocol
from ovsam_pipeline.ui.security import Guard, Refusal, Security, is_loopback, json_error
from ovsam_pipeline.ui.start_page import STATIC_FILES, build_page, read_static

# What the page begins with: JSON data with "kind", or a function that makes it for each visit.
Start = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
_MOST_CONNECTIONS = 128


def run_ui(
    start: Start,
    routes: Sequence[BaseRoute],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool | None = None,
    allow_hosts: Iterable[str] | None = None,
    end: Callable[[], Sequence[str]] | None = None,
) -> None:
    """Serve a page and its routes until Ctrl-C; what every command with a page calls.

    Args:
        host: the address to listen on. port: 0 takes a free one.
        open_browser: None opens one where there is a display and stdout is a terminal.
        allow_hosts: further names in the Host header.
        end: called at Ctrl-C; returns what to tell then.

    Raises:
        ConfigError: the address or the port cannot be used.
    """
    security = Security.create(host, allow_hosts or ())
    serve(build_app(start, routes, security), host, port, open_browser, end=end)


def build_app(start: Start, routes: Sequence[BaseRoute], security: Security) -> Starlette:
    """Return the application: the page at "/", its files below "/static/", and `routes`.

    Paths of routes begin behind the token: Route("/api/open", …). An OvsamError of a route becomes
    400 with its sentence, a `Refusal` its own status; anything else is logged, and becomes 500.
    """

    def show_page(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return HTMLResponse(build_page(start() if callable(start) else start))

    app = Starlette(
        routes=[Route("/", show_page), Route("/static/{name}", _show_static), *routes],
        middleware=[Middleware(Guard, security=security)],
        exception_handlers={
            OvsamError: _tell_error,
            Refusal: _tell_refusal,
            HTTPException: _tell_status,
        },
    )
    app.router.redirect_slashes = False
    app.state.security = security
    return app


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request; a ConfigError where its body is something else."""
    try:
        found = parse_json(await request.body())
    except ValueError as error:
        raise ConfigError(f"expected a JSON object, got {describe_error(error)}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"expected a JSON object, got {show_value(found)}")
    return found


def _show_static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC_FILES:
        return json_error("expected a file of the page", 404)
    return Response(read_static(name), media_type=STATIC_FILES[name])


def _tell_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return json_error(str(error), 400)


def _tell_refusal(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    assert isinstance(error, Refusal)
    return json_error(error.sentence, error.status)


def _tell_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = error.detail
    if error.status_code == 404:
        sentence = "expected an address of this server, got one that it does not have"
    elif error.status_code == 405:
        allowed = " or ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        sentence = f"expected {allowed} for this address, got {request.method[:20]}"
    response = json_error(sentence, error.status_code)
    response.headers.update(error.headers or {})
    return response


def serve(
    app: Starlette,
    host: str,
    port: int = 0,
    open_browser: bool | None = None,
    paths: Sequence[str] = ("",),
    end: Callable[[], Sequence[str]] | None = None,
) -> None:
    """Print the address on stdout and answer requests until Ctrl-C (exit code 130).

    `paths`: below the address; one line for each. `end`: as of `run_ui`.

    Raises:
        ConfigError: the address or the port cannot be used.
    """
    listener = listen(host, port)
    security: Security = app.state.security
    address = _write_address(host, listener.getsockname()[1], security.token)
    server = uvicorn.Server(make_config(app))
    if not is_loopback(host):
        print_note(_warn_of_reach(host), level=logging.WARNING)
    print_result(*(address + path for path in paths))
    print_note("press Ctrl-C to stop")
    if open_browser if open_browser is not None else _has_display():
        # A browser that starts may take seconds to return.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        server.run(sockets=[listener])
    except Interrupted:
        # A server has no other end: it is no fault to report.
        for line in end() if end is not None else ("stopped",):
            print_note(line)
        raise SystemExit(int(ExitCode.INTERRUPTED)) from None


def make_config(app: Starlette) -> uvicorn.Config:
    """Return how uvicorn runs: no log of addresses (they hold the token), no Server header."""
    # Its warnings are about requests that were no HTTP: anyone can send them, as many as he likes.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections; port 0 is a free one. Errors as in `serve`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_MOST_CONNECTIONS)
    except OSError as error:
        # The text of socket.create_server repeats the address. Errors of names are below zero.
        has_number = error.errno is not None and error.errno > 0
        reason = os.strerror(error.errno or 0) if has_number else f"unknown name {host}"
        raise ConfigError(
            f"cannot listen on {host} port {port}: {reason}; choose another --host or --port "
            "(without --port a free one is taken)"
        ) from error


def _write_address(host: str, port: int, token: str) -> str:
    """Return the page's address on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/{token}/"


def _warn_of_reach(host: str) -> str:
    return (
        f"--host {host}: every machine that reaches this one can ask this server. The token in the "
        "address is its only guard, and travels unencrypted (plain HTTP); over a network that is "
        f"not yours use 127.0.0.1 and `ssh -L`. From elsewhere this machine may be reached as "
        f"{socket.gethostname()}"
    )


def _has_display() -> bool:
    """Return whether a browser would open in a window; one in the terminal would hide the notes."""
    if not sys.stdout.isatty():
        return False
    is_desktop = sys.platform in ("darwin", "win32")
    return is_desktop or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
