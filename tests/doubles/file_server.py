"""A local file server for download tests: ranges, cut connections, damaged bytes, a small hub."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ServedFile:
    """Bytes at a path, and how badly they are served.

    `cut_after` holds, for each coming GET, after how many bytes of the body the connection drops.
    """

    content: bytes
    cut_after: list[int] = field(default_factory=list)
    ignores_ranges: bool = False
    is_damaged: bool = False
    # For each coming request, the status it is refused with.
    statuses: list[int] = field(default_factory=list)
    redirect_to: str | None = None
    delay_s: float = 0

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class FileServer:
    """`files` by path; `requests` is what was asked: (method, path, range, authorization)."""

    url: str
    files: dict[str, ServedFile] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    status: int = 200
    commit: str = "c" * 40

    def serve(self, path: str, content: bytes, **behaviour: object) -> ServedFile:
        """Put a file at a path."""
        self.files[path] = ServedFile(content, **behaviour)  # type: ignore[arg-type]
        return self.files[path]

    def serve_on_hub(
        self, repo_id: str, name: str, content: bytes, **behaviour: object
    ) -> ServedFile:
        """Put a file where huggingface_hub looks for it."""
        return self.serve(f"/{repo_id}/resolve/main/{name}", content, **behaviour)

    def ranges(self) -> list[str | None]:
        """The Range headers of the GET requests, in order."""
        return [wanted for method, _, wanted, _ in self.requests if method == "GET"]


@contextmanager
def run_file_server() -> Iterator[FileServer]:
    """Serve on a free port of this machine until the block ends."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    server = FileServer(f"http://127.0.0.1:{httpd.server_address[1]}")
    httpd.files = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    @property
    def _commit(self) -> str:
        return self.server.files.commit  # type: ignore[attr-defined]

    def _answer(self, *, with_body: bool) -> None:
        server: FileServer = self.server.files  # type: ignore[attr-defined]
        wanted = self.headers.get("Range")
        authorization = self.headers.get("Authorization")
        server.requests.append((self.command, self.path, wanted, authorization))
        served = server.files.get(self.path)
        if served is None or server.status != 200:
            return self._refuse(404 if served is None else server.status)
        if served.statuses:
            return self._refuse(served.statuses.pop(0))
        if served.redirect_to is not None:
            return self._refuse(302, {"Location": served.redirect_to})
        time.sleep(served.delay_s)
        start = 0 if wanted is None or served.ignores_ranges else int(wanted[6:].split("-")[0])
        if start >= len(served.content):
            return self._refuse(416, {"Content-Range": f"bytes */{len(served.content)}"})
        self._send_file(served, start, with_body=with_body)
        return None

    def _send_file(self, served: ServedFile, start: int, *, with_body: bool) -> None:
        body = served.content[start:]
        if served.is_damaged:
            body = bytes([body[0] ^ 255]) + body[1:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{served.sha256}"')
        self.send_header("X-Repo-Commit", self._commit)
        if start:
            total = len(served.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        if with_body:
            cut = served.cut_after.pop(0) if served.cut_after else None
            with suppress(ConnectionError):  # a reader may have had enough
                self.wfile.write(body[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        codes = {401: "RepoNotFound", 404: "EntryNotFound"}
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("X-Repo-Commit", self._commit)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status in codes:
            self.send_header("X-Error-Code", codes[status])
        self.end_headers()
