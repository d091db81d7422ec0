"""An S3 server on this machine as a process of its own, and a proxy that makes it misbehave.

Also a program: `python tests/s3_server.py` serves until its standard input ends and prints its
address first, so that it dies with whoever started it.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import unescape

LOGIN = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
# What S3 says with a status, as far as clients look at it.
CODES = {
    400: "BadRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}


@dataclass
class Fault:
    """What goes wrong, with which requests, how often.

    Attributes:
        kind: "status" (an error in S3's words), "slow" (the body comes in drops), "reset" (the
            connection breaks in the middle of the body), "hang" (no answer for `seconds`), "short"
            (the body ends early, and its length is announced so), "flip" (a bit of it is another),
            "late" (listings lack objects that were written less than `seconds` ago),
            "unconditional" (conditions of a PUT are ignored).
        key: requests whose path holds this.
        times: how many requests; they are counted down.
        status: of kind "status".
        code: S3's name of the error; "" takes the usual one of the status.
        methods: "GET", "PUT", ...
        seconds: of kinds "slow", "hang" and "late", how long.
        skipped: so many of them pass before it begins.
        share: which part of them it meets, by chance.
    """

    kind: str
    key: str = ""
    times: int = 10**9
    status: int = 500
    code: str = ""
    methods: tuple[str, ...] = ("GET", "PUT", "HEAD", "POST", "DELETE")
    seconds: float = 1.0
    skipped: int = 0
    share: float = 1.0
    hits: int = 0


@dataclass
class FaultProxy:
    """Passes requests on to a server; `faults` are looked at in order, the first that fits counts.

    Attributes:
        url: its own address.
        faults: may be changed at any time.
        requests: (method, path) of everything asked.
    """

    url: str
    target: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    written_s: dict[str, float] = field(default_factory=dict)
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    lock: threading.Lock = field(default_factory=threading.Lock)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def choose_fault(self, method: str, path: str) -> Fault | None:
        """Count a request and return what goes wrong with it."""
        with self.lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if not fault.times or fault.key not in path or method not in fault.methods:
                    continue
                if fault.skipped > 0:
                    fault.skipped -= 1
                elif self.dice.random() < fault.share:
                    fault.times -= 1
                    fault.hits += 1
                    return fault
        return None


@contextmanager
def run_s3_server() -> Iterator[str]:
    """Yield the address of moto's S3 server, which runs in a process of its own."""
    command = [sys.executable, __file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url.startswith("http://"), "moto's server did not start"
            yield url
        finally:
            process.stdin.close()
            process.wait(timeout=20)


@contextmanager
def run_fault_proxy(target: str) -> Iterator[FaultProxy]:
    """Yield a proxy in front of a server, on a port of its own, until the block ends."""
    httpd = _ProxyServer(("127.0.0.1", 0), _ProxyHandler)
    proxy = FaultProxy(f"http://127.0.0.1:{httpd.server_address[1]}", target)
    httpd.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextmanager
def set_login(url: str, **changes: str) -> Iterator[None]:
    """Let this process, and those it starts, use a server until the block ends."""
    wanted = {**LOGIN, "AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true", **changes}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _ProxyServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._pass_on()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _pass_on(self) -> None:
        proxy: FaultProxy = self.server.proxy  # type: ignore[attr-defined]
        request = self._read_body()
        fault = proxy.choose_fault(self.command, self.path)
        if fault is not None and fault.kind == "hang":
            time.sleep(fault.seconds)
        if fault is not None and fault.kind == "status":
            self._refuse(fault)
            return
        if fault is not None and fault.kind == "unconditional":
            for name in ("If-None-Match", "If-Match"):
                del self.headers[name]
        if self.command == "PUT":
            key = unquote(urlsplit(self.path).path).strip("/").partition("/")[2]
            proxy.written_s[key] = time.monotonic()
        # moto looks and writes in two steps: with conditions, one request at a time.
        is_conditional = self.headers.get("If-None-Match") or self.headers.get("If-Match")
        with proxy.writing if is_conditional else nullcontext():
            status, headers, body = self._ask_server(proxy.target, request)
        if fault is not None and fault.kind == "late":
            body = _leave_out_new(body, proxy.written_s, fault.seconds)
        with suppress(ConnectionError):  # a client may have had enough
            self._answer(status, headers, body, fault)

    def _read_body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # http.server has answered that already
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _ask_server(self, target: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(urlsplit(target).netloc, timeout=120)
        skipped = ("transfer-encoding", "content-length", "connection", "expect")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
        try:
            connection.request(
                self.command, self.path, body, {**headers, "Content-Length": str(len(body))}
            )
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault | None
    ) -> None:
        kind = None if fault is None else fault.kind
        if kind == "short":
            body = body[: len(body) // 2]
        if kind == "flip" and body:
            body = bytes([*body[:-9], body[-9] ^ 1, *body[-8:]]) if len(body) > 8 else body
        self.send_response_only(status)
        skipped = ("transfer-encoding", "connection", "content-length")
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length":
                length = length if kind in ("short", "late") else value  # of a HEAD: the object's
            elif name.lower() not in skipped:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind == "reset":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            # Closing with data unsent and no lingering sends RST: "connection reset by peer".
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            return
        drops = 8 if kind == "slow" and body else 1
        size = -(-len(body) // drops) or 1
        for start in range(0, len(body), size):
            if kind == "slow":
                assert fault is not None
                time.sleep(fault.seconds / drops)
            self.wfile.write(body[start : start + size])

    def _refuse(self, fault: Fault) -> None:
        code = fault.code or CODES[fault.status]
        text = f"<Error><Code>{code}</Code><Message>as asked for</Message></Error>"
        body = b"" if self.command == "HEAD" else text.encode()
        self.send_response_only(fault.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body)


def _leave_out_new(listing: bytes, written_s: dict[str, float], seconds: float) -> bytes:
    """Return a listing without the objects that were written lately."""
    now_s = time.monotonic()

    def keep(entry: re.Match[str]) -> str:
        age_s = now_s - written_s.get(unescape(entry[1]), float("-inf"))
        return entry[0] if age_s >= seconds else ""

    pattern = r"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>"
    return re.sub(pattern, keep, listing.decode(), flags=re.DOTALL).encode()


def main() -> None:
    """Serve until standard input ends."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    sys.stdout.write("http://{}:{}\n".format(*server.get_host_and_port()))
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
