"""The file systems of addresses: opened once per process, with bounded waiting and plain errors.

S3, Google Cloud Storage and Azure come with pyarrow and need no other package; every other scheme
(hf://, sftp://, memory://) goes through fsspec.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from ovsam.errors import describe_error

if TYPE_CHECKING:
    import pyarrow.fs

# Limits of the client itself, inside one attempt of `retry.retry`: a store that is down is given up
# in less than a minute. The second one is how long a connection may be silent.
_CONNECT_S, _REQUEST_S = 5.0, 20.0
_CLIENT_ATTEMPTS = 3
_DEFAULT_REGION = "us-east-1"
_LOGIN = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY",
}
_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
# The clients raise one class of error for everything: only the text shows what happened. These are
# the parts to look for, in lower case.
_REFUSED = ("access_denied", "access denied", "signature_does_not_match", "forbidden",
            "status 401", "status 403", "401 client error", "403 client error", "expired",
            "unauthenticated", "unauthorized", "permission_denied", "permissiondenied",
            "no credentials")  # fmt: skip
_UNKNOWN_KEY = ("invalid_access_key_id", "unrecognized_client", "invalid_client_token_id")
_NO_BUCKET = ("no_such_bucket", "nosuchbucket", "containernotfound", "bucket does not exist",
              "the specified bucket")  # fmt: skip
_UNREACHABLE = re.compile(r"NETWORK_CONNECTION.*?curlCode: \d+, ([^;]+)")


def open_store(scheme: str, bucket: str) -> pyarrow.fs.FileSystem:
    """Return the file system of the addresses that begin with SCHEME://BUCKET."""
    kind = _ALIASES.get(scheme, scheme)
    if kind == "s3":
        endpoint = _get_endpoint()
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if endpoint and not region:
            # Without a region the client looks for one on Amazon's network, which MinIO's users may
            # not reach: it would wait for a time limit.
            region = _DEFAULT_REGION
        # The region of a bucket at Amazon is asked for: a request to another region is refused.
        return _open_s3(endpoint, region, "" if region else bucket)
    if kind == "gs":
        return _open_gs(os.environ.get("STORAGE_EMULATOR_HOST"))
    return _open_azure() if kind == "az" else _open_by_fsspec(scheme)


def has_buckets(scheme: str) -> bool:
    """Whether the first part of an address is a bucket (a container), which must exist."""
    return _ALIASES.get(scheme, scheme) in _LOGIN


def _get_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


@cache
def _open_s3(endpoint: str | None, region: str | None, bucket: str) -> pyarrow.fs.FileSystem:
    import pyarrow.fs as fs

    if bucket:
        region = fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_CLIENT_ATTEMPTS),
        # Small objects by one request instead of three, and nothing left of a killed upload.
        allow_delayed_open=True,
    )


@cache
def _open_gs(emulator: str | None) -> pyarrow.fs.FileSystem:
    import pyarrow.fs as fs

    patience = timedelta(seconds=_REQUEST_S)
    if emulator is None:
        return fs.GcsFileSystem(retry_time_limit=patience)
    scheme, _, host = emulator.rpartition("://")
    return fs.GcsFileSystem(
        anonymous=True,
        scheme=scheme or "http",
        endpoint_override=host,
        retry_time_limit=patience,
    )


@cache
def _open_azure() -> pyarrow.fs.FileSystem:
    import pyarrow.fs as fs

    account = os.environ.get("AZURE_STORAGE_ACCOUNT") or os.environ.get(
        "AZURE_STORAGE_ACCOUNT_NAME"
    )
    if not account:
        raise PermissionError(13, f"expected a login for az://, got none: set {_LOGIN['az']}")
    key = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY")
    return fs.AzureFileSystem(account_name=account, account_key=key)


@cache
def _open_by_fsspec(scheme: str) -> pyarrow.fs.FileSystem:
    import fsspec
    import pyarrow.fs as fs

    return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))


@contextmanager
def explain_store_errors(uri: str) -> Iterator[None]:
    """Turn what a store's client raises into an OSError of the right class, with a remedy."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise type(error)(error.errno, _describe(error)) from error
    except (OSError, RuntimeError) as error:
        text = _describe(error)
        raise _choose_error(text, uri) from error


def _choose_error(text: str, uri: str) -> OSError:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    small = text.replace(f"'{key}'", "").lower()  # a key may contain "access denied" itself
    kind = _ALIASES.get(scheme, scheme)
    login = _LOGIN.get(kind, "the login that the store expects")
    if any(sign in small for sign in _UNKNOWN_KEY):
        return PermissionError(13, f"the store does not know the access key: check {login}")
    if any(sign in small for sign in _NO_BUCKET):
        return FileNotFoundError(2, f"there is no bucket {bucket}")
    if any(sign in small for sign in _REFUSED):
        return PermissionError(13, f"access to {bucket} is refused: check {login}")
    if unreachable := _UNREACHABLE.search(text):
        endpoint = _get_endpoint() if kind == "s3" else None
        hint = f" and AWS_ENDPOINT_URL ({endpoint})" if endpoint else ""
        return OSError(5, f"cannot reach the store ({unreachable[1]}); check the network{hint}")
    return OSError(5, text)


def _describe(error: BaseException) -> str:
    text = describe_error(error)
    # The clients' own sentences repeat themselves at length.
    return text if len(text) <= 300 else f"{text[:299]}…"
