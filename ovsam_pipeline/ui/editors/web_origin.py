"""Files of one web server, and of no other: what an editor keeps for the images of its tasks."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import ovsam
from ovsam.errors import ConfigError, ImageError

_TIMEOUT_S = 30.0
_MOST_BYTES = 1 << 28
_CHUNK_BYTES = 1 << 18
# Label Studio's access tokens live five minutes.
_ACCESS_S = 240.0
_AS_THEY_ARE = "/%:@!$&'()*+,;=~-._"
_PORTS = {"http": 80, "https": 443}


@dataclass
class WebOrigin:
    """A server, to be asked with a token where it needs one.

    Attributes:
        url: its address, "http://localhost:8080" or with a path.
        token: of Label Studio: a legacy token, or a personal access token (a JWT), which is
            exchanged for one that lives minutes. "": none is sent.
    """

    url: str
    token: str = field(default="", repr=False)
    _access: tuple[float, str] = field(default=(0.0, ""), init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raise ConfigError for what is no web address."""
        try:
            parts = urlsplit(self.url)
            is_web = parts.scheme in _PORTS and bool(parts.hostname) and bool(_find_port(parts))
        except ValueError:
            is_web = False
        if not is_web or parts.username is not None:
            raise ConfigError(
                "expected an address like http://localhost:8080 without a password, got "
                f"{self.url!r}"
            )
        self.url = self.url.rstrip("/")

    def has(self, address: str) -> bool:
        """Return whether an address is on this server, below its path."""
        return _is_same_origin(self.url, address) and (
            urlsplit(address).path.startswith(urlsplit(self.url).path + "/")
        )

    def make_relative(self, address: str) -> str:
        """Return the path, and query, of an address on this server below its own path."""
        parts = urlsplit(address)
        return self.drop_path(parts.path) + (f"?{parts.query}" if parts.query else "")

    def drop_path(self, path: str) -> str:
        """Return a path of this server as one below its own path, where it begins with that."""
        own = urlsplit(self.url).path
        return path.removeprefix(own) if path.startswith(f"{own}/") else path

    def read(self, path: str, max_bytes: int = _MOST_BYTES) -> bytes:
        """Return the file at a path, which begins with "/"; redirects elsewhere are not followed.

        Raises:
            ImageError: the server has it not, gives it not to this token, or gives too much.
        """
        parts = urlsplit(path)
        quoted = quote(parts.path, safe=_AS_THEY_ARE) + (f"?{parts.query}" if parts.query else "")
        request = urllib.request.Request(self.url + quoted)
        if self.token:
            request.add_header("Authorization", self._authorise())
        try:
            with self._open(request) as answer:
                return _read(answer, max_bytes)
        except urllib.error.HTTPError as error:
            error.close()
            raise ImageError(self._explain(error.code)) from error
        except (OSError, http.client.HTTPException) as error:
            raise ImageError(f"cannot read from {self.url}: {_describe(error)}") from error

    def _open(self, request: urllib.request.Request) -> IO[bytes]:
        request.add_header("User-Agent", f"ovsam/{ovsam.__version__}")
        opener = urllib.request.build_opener(_SameOrigin(self.url))
        answer: IO[bytes] = opener.open(request, timeout=_TIMEOUT_S)
        return answer

    def _authorise(self) -> str:
        if self.token.count(".") != 2:
            return f"Token {self.token}"
        with self._lock:
            until, access = self._access
            if time.monotonic() >= until:
                access = self._refresh()
                self._access = (time.monotonic() + _ACCESS_S, access)
        return f"Bearer {access}"

    def _refresh(self) -> str:
        """Exchange a personal access token for one that can be used."""
        body = json.dumps({"refresh": self.token}).encode()
        request = urllib.request.Request(f"{self.url}/api/token/refresh/", body)
        request.add_header("Content-Type", "application/json")
        try:
            with self._open(request) as answer:
                return str(json.loads(_read(answer, 1 << 20))["access"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise ImageError(
                f"{self.url} does not take the token in LABEL_STUDIO_API_KEY: {_describe(error)}"
            ) from error

    def _explain(self, status: int) -> str:
        if status in (401, 403):
            return (
                f"{self.url} does not give the image with this token (status {status}); put one of "
                "Label Studio (Account & Settings) into LABEL_STUDIO_API_KEY"
            )
        if status in (404, 410):
            return f"{self.url} has no such image (status {status})"
        return f"{self.url} cannot give the image (status {status})"


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same server alone."""

    def __init__(self, url: str) -> None:
        self._url = url

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request to follow; raise ImageError for another server."""
        target = urljoin(req.full_url, newurl)
        if not _is_same_origin(self._url, target):
            host = urlsplit(target).hostname
            raise ImageError(
                f"{self._url} sends to another server ({host}) for the image; it is not asked. "
                "Allow the storage itself: --images s3://bucket/prefix"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_same_origin(first: str, second: str) -> bool:
    try:
        one, other = urlsplit(first), urlsplit(second)
        ends = [(x.scheme.lower(), x.hostname, _find_port(x)) for x in (one, other)]
    except ValueError:
        return False
    return ends[0] == ends[1] and other.username is None


def _find_port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)


def _read(answer: IO[bytes], max_bytes: int) -> bytes:
    chunks, size, started = [], 0, time.monotonic()
    while chunk := answer.read(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise ImageError(f"expected an image of at most {max_bytes / 1e6:.0f} MB, got more")
        if time.monotonic() - started > 4 * _TIMEOUT_S:
            raise TimeoutError(f"not read within {4 * _TIMEOUT_S:.0f} seconds")
    return b"".join(chunks)


def _describe(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(error).__name__
