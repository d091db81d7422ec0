"""Writing a small object of S3 only where there is none, or where it is still what was read.

pyarrow has no such requests, so they are made and signed here (AWS's signature, version 4), with
the keys of the environment or of the profile. Other logins, as the role of a machine, are not known
here; who asks for them does without, see `output/lock.py`.
"""

from __future__ import annotations

import configparser
import hashlib
import hmac
import http.client
import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from ovsam_pipeline.storage.object_stores import get_endpoint
from ovsam_pipeline.storage.remote_path import RemotePath
from ovsam_pipeline.storage.retry import BusyError, retry

_TIMEOUT_S = 20.0
# Precondition Failed, and a write of another at the same moment.
_NOT_MET = (409, 412)


class UnsupportedError(Exception):
    """The store, or the login, does not allow conditions."""


class Keys(NamedTuple):
    """A login of S3; `token` is that of a session, or empty."""

    key_id: str
    secret: str
    token: str
    region: str


class Found(NamedTuple):
    """An object that was read: what it holds, its ETag, and its age by the store's clock."""

    content: bytes
    etag: str
    age_s: float


class ConditionalObject:
    """An object of S3 that is written on a condition.

    Raises:
        UnsupportedError: another kind of store, or a login whose keys are not at hand.
    """

    def __init__(self, path: RemotePath) -> None:
        scheme, _, self._place = path.uri.partition("://")
        keys = find_keys() if scheme.lower() in ("s3", "s3a") else None
        if keys is None:
            raise UnsupportedError(f"no keys of S3 are at hand for {path}")
        self._keys = keys
        address = urlsplit(get_endpoint() or f"https://s3.{keys.region}.amazonaws.com")
        self._is_secure, self._host = address.scheme == "https", address.netloc
        self._path = f"{address.path.rstrip('/')}/{quote(self._place, safe='/~')}"

    def create(self, content: bytes) -> str | None:
        """Write it where there is none; return its ETag, or None where there is one."""
        return self._write(content, ("if-none-match", "*"))

    def replace(self, content: bytes, etag: str) -> str | None:
        """Write it where it still has this ETag; return the new one, or None where it has not."""
        return self._write(content, ("if-match", etag))

    def read(self) -> Found | None:
        """Return what is there now, by name; None where there is nothing."""
        status, headers, content = retry(lambda: self._ask("GET", b"", {}))
        if status == 404:
            return None
        if status != 200:
            raise UnsupportedError(f"the store answered {status}")
        written, now = (parsedate_to_datetime(headers[name]) for name in ("last-modified", "date"))
        return Found(content, headers["etag"], (now - written).total_seconds())

    def _write(self, content: bytes, condition: tuple[str, str]) -> str | None:
        status, headers, _ = retry(lambda: self._ask("PUT", content, dict([condition])))
        if status in _NOT_MET or (status == 404 and condition[0] == "if-match"):
            return None
        if status != 200 or not headers.get("etag"):
            raise UnsupportedError(f"the store answered {status}")
        return headers["etag"]

    def _ask(
        self, method: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; an OSError for what may pass."""
        all_headers = {**headers, "host": self._host}
        signed = sign(method, self._path, body, all_headers, self._keys, datetime.now(UTC))
        if self._is_secure:
            context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, timeout=_TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT_S)
        try:
            connection.request(method, self._path, body or None, signed)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"the connection ended early: {error!r}") from error
        finally:
            connection.close()
        if answer.status in (429, 503):
            raise BusyError(5, f"the store answered {answer.status}")
        if answer.status >= 500 and answer.status != 501:
            raise OSError(5, f"the store answered {answer.status}")
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content


def find_keys() -> Keys | None:
    """Return the keys that AWS tools would take from the environment or from a file, if any."""
    values: Mapping[str, str] = {name.lower(): value for name, value in os.environ.items()}
    region = values.get("aws_region") or values.get("aws_default_region") or "us-east-1"
    if not values.get("aws_access_key_id"):
        file = values.get("aws_shared_credentials_file") or Path.home() / ".aws" / "credentials"
        profiles = configparser.ConfigParser(interpolation=None)
        try:
            profiles.read(file, encoding="utf-8")
            values = profiles[values.get("aws_profile") or "default"]
        except (OSError, KeyError, ValueError, configparser.Error):
            return None
    key_id, secret = values.get("aws_access_key_id"), values.get("aws_secret_access_key")
    if not key_id or not secret:
        return None
    return Keys(key_id, secret, values.get("aws_session_token", ""), region)


def sign(
    method: str, path: str, body: bytes, headers: Mapping[str, str], keys: Keys, now: datetime
) -> dict[str, str]:
    """Return the headers of a request to S3 with its signature; "host" must be among them.

    `path` is quoted and has no query.
    """
    moment, body_sum = now.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
    all_headers = {
        **headers,
        "x-amz-content-sha256": body_sum,
        "x-amz-date": moment,
        **({"x-amz-security-token": keys.token} if keys.token else {}),
    }
    names = sorted(all_headers)
    lines = [f"{name}:{all_headers[name]}" for name in names]
    request = "\n".join((method, path, "", *lines, "", ";".join(names), body_sum))
    scope = f"{moment[:8]}/{keys.region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(
        key, "\n".join(("AWS4-HMAC-SHA256", moment, scope, digest)).encode(), "sha256"
    ).hex()
    all_headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.key_id}/{scope}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
    return all_headers
