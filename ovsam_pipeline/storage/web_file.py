"""A file at a web address: read whole, with time limits, bounded retries and a size limit.

Standard library only. Proxies of the environment (HTTPS_PROXY, NO_PROXY) are used; redirects are
followed to other web addresses only. Content types are ignored: decoding shows what came.
"""

from __future__ import annotations

import base64
import http.client
import re
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import IO, Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

import ovsam
from ovsam.errors import ImageError
from ovsam_pipeline.storage.retry import BusyError, retry

DEFAULT_MAX_BYTES = 2 << 30
_TIMEOUT_S = 30.0
# For one attempt: a server that sends a byte every few seconds must not hold a worker for hours.
_ATTEMPT_S = 120.0
_CHUNK_BYTES = 1 << 18
_SPOOL_BYTES = 16 << 20
_ABSENT, _REFUSED = (404, 410), (401, 403, 407)
_BUSY = 429  # Too Many Requests
# Request Timeout, Too Early; with them all of 500 and above.
_TEMPORARY = (408, 425)
# What signs an address (S3, CloudFront, Google, Azure) is secret, and changes every day: with it a
# name would not be the same in the next run.
_SIGNATURES = frozenset(("x-amz-signature", "x-goog-signature", "signature", "sig"))
_SIGNED_WITH = re.compile(
    "x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|expires|policy|key-pair-id"
    "|sv|ss|srt|sp|se|st|spr|sr|sip|sdd|skoid|sktid|skt|ske|sks|skv"
)
# Characters that stay as they are in a query; all others are written as %XX.
_IN_QUERY = "/?%:@!$&'()*+,;=~-._[]|"
# What is secret by itself: "token", "x_api_key", "clientSecret"; not "key" or "author".
_SECRET = re.compile(
    ".*(token|secret|passwd|password|passphrase|pwd|api[-_.]?key|access[-_.]?key|private[-_.]?key"
    "|subscription[-_.]?key|signature|credentials?|jwt)|sig|auth|authorization|bearer"
)
_LOGIN = re.compile(r"(?<=://)[^/?#@\s]+@")


class HttpStatusError(OSError):
    """The server answered with a temporary error: retrying can help."""


@dataclass(frozen=True, slots=True)
class HttpFile:
    """A file at an http or https address, which keeps what it needs (a signature, a password)."""

    url: str

    def __str__(self) -> str:
        """Return the address without password, signature and fragment, as outputs show it."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        query = _hide_signature(parts.query) if parts.query else ""
        return f"{parts.scheme}://{host}{parts.path}{query}"

    def __truediv__(self, name: str) -> HttpFile:
        """Return the address below this one: the name quoted, the query kept."""
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/") + "/" + quote(name.lstrip("/"))
        return HttpFile(parts._replace(path=path, fragment="").geturl())

    @property
    def name(self) -> str:
        """The last part of the path, unquoted."""
        return unquote(urlsplit(self.url).path.rstrip("/").rpartition("/")[2])

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> HttpFile:
        """The address without its last part."""
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/").rpartition("/")[0]
        return HttpFile(parts._replace(path=path, fragment="").geturl())

    def read_bytes(self, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
        """Read the file."""
        return retry(lambda: b"".join(self._iterate(max_bytes)))

    def open(self, mode: Literal["rb"] = "rb") -> IO[bytes]:  # noqa: ARG002  as Path.open
        """Download into a temporary file and open that: for lists and JSON files."""
        return retry(self._download)

    def _download(self) -> IO[bytes]:
        stream: IO[bytes] = tempfile.TemporaryFile(buffering=_SPOOL_BYTES)  # noqa: SIM115
        try:
            stream.writelines(self._iterate(1 << 40))
        except BaseException:
            stream.close()
            raise
        stream.seek(0)
        return stream

    def _iterate(self, max_bytes: int) -> Iterator[bytes]:
        started = time.monotonic()
        num_bytes = 0
        try:
            with _build_opener().open(self._build_request(), timeout=_TIMEOUT_S) as answer:
                announced = answer.length
                while chunk := answer.read(_CHUNK_BYTES):
                    num_bytes += len(chunk)
                    if max(num_bytes, announced or 0) > max_bytes:
                        raise ImageError(_describe_size(max(num_bytes, announced or 0), max_bytes))
                    if time.monotonic() - started > _ATTEMPT_S:
                        raise TimeoutError(f"not read within {_ATTEMPT_S:.0f} seconds")
                    yield chunk
                if announced is not None and num_bytes < announced:
                    raise ConnectionError(f"the connection ended at byte {num_bytes}")
        except urllib.error.HTTPError as error:
            error.close()
            raise _explain_status(error.code, str(error.reason)) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, OSError):
                raise ConnectionError(f"cannot reach the server: {error.reason}") from error
            raise OSError(f"cannot reach the server: {error.reason}") from error
        except http.client.InvalidURL as error:
            # The exception text contains the full address, including its signature.
            raise ImageError("expected a web address, got one that cannot be asked for") from error
        except http.client.HTTPException as error:
            raise ConnectionError(f"the connection ended early: {error!r}") from error

    def _build_request(self) -> urllib.request.Request:
        parts = urlsplit(self.url)
        login, has_login, host = parts.netloc.rpartition("@")
        query = quote(parts.query, safe=_IN_QUERY)
        url = parts._replace(netloc=host, fragment="", path=_quote_path(parts), query=query)
        agent = {"User-Agent": f"ovsam/{ovsam.__version__}"}
        request = urllib.request.Request(url.geturl(), headers=agent)
        if has_login:
            basic = base64.b64encode(unquote(login).encode()).decode()
            # Ordinary headers are sent again to redirect targets; this one is not.
            request.add_unredirected_header("Authorization", f"Basic {basic}")
        return request


def _hide_signature(query: str) -> str:
    """Return "?QUERY" without tokens and signatures; "" where nothing is left."""
    kept = [item for item, is_secret in _split_query(query) if not is_secret]
    return "?" + "&".join(kept) if kept else ""


def hide_secrets(text: str) -> str:
    """Return a text that may be an address with "***" for its login, tokens and signature."""
    if "://" not in text:
        return text
    address, mark, query = _LOGIN.sub("***@", text).partition("?")
    items = [
        f"{item.partition('=')[0]}=***" if is_secret else item
        for item, is_secret in _split_query(query)
    ]
    return address + mark + "&".join(items)


def _split_query(query: str) -> list[tuple[str, bool]]:
    """Return the items of a query, and whether each is a token or belongs to a signature."""
    items = query.split("&")
    keys = [unquote(item.partition("=")[0]).lower() for item in items]
    is_signed = not _SIGNATURES.isdisjoint(keys)
    return [
        (item, bool(_SECRET.fullmatch(key) or (is_signed and _SIGNED_WITH.fullmatch(key))))
        for item, key in zip(items, keys, strict=True)
    ]


def _quote_path(parts: SplitResult) -> str:
    """Quote blanks and letters beyond ASCII, which people write into lists as they are."""
    return quote(parts.path, safe="/%:@!$&'()*+,;=~-._")


@cache
def _build_opener() -> urllib.request.OpenerDirector:
    """Build what opens web addresses only: no redirect can lead to a local file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _explain_status(code: int, reason: str) -> OSError:
    sentence = f"the server answered {code} {reason}".rstrip()
    if code in _ABSENT:
        return FileNotFoundError(sentence)
    if code in _REFUSED:
        return PermissionError(sentence)
    if code == _BUSY:
        return BusyError(sentence)
    if code in _TEMPORARY or code >= 500:
        return HttpStatusError(sentence)
    return OSError(sentence)


def _describe_size(num_bytes: int, max_bytes: int) -> str:
    return (
        f"expected at most {max_bytes / 1e6:.0f} MB for the largest image allowed, got at least "
        f"{num_bytes / 1e6:.0f} MB"
    )
