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
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.storage.google_login import check_google_login
from ovsam_pipeline.storage.retry import BusyError

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
_WEB_CLIENTS = ("httpx", "httpx2", "httpcore", "requests", "urllib3", "aiohttp")
_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_REFUSED = "access to {bucket} is refused: check {login}"
# The clients raise one class of error for everything: only the text shows what happened. These are
# the parts to look for, in lower case, what they mean, and what is to be done; the first that is
# found counts.
_FINAL_ANSWERS: tuple[tuple[tuple[str, ...], type[OSError], str], ...] = (
    (
        ("expiredtoken", "expired_token", "expired token", "token has expired", "token is expired",
         "token expired", "credentials have expired", "session has expired",
         "tokenrefreshrequired", "invalid_grant"),
        PermissionError,
        "the login has expired: renew it ({login}), and the same command goes on",
    ),
    (
        ("request_time_too_skewed", "requesttimetooskewed", "request has expired"),
        PermissionError,
        "the clock of this machine differs too much from the store's: set it, and the same command "
        "goes on",
    ),
    (
        ("invalid_access_key_id", "unrecognized_client", "invalid_client_token_id"),
        PermissionError,
        "the store does not know the access key: check {login}",
    ),
    (
        ("invalidtoken", "invalid_token"),
        PermissionError,
        "the store does not know the session token: renew the login ({login})",
    ),
    (
        ("no_such_bucket", "nosuchbucket", "containernotfound", "bucket does not exist",
         "the specified bucket"),
        FileNotFoundError,
        "there is no bucket {bucket}",
    ),
    (
        ("access_denied", "access denied", "signature_does_not_match", "forbidden",
         "401 client error", "403 client error", "unauthenticated", "unauthorized",
         "permission_denied", "permissiondenied", "no credentials", "oauth2 access token"),
        PermissionError,
        _REFUSED,
    ),
)  # fmt: skip
_BUSY = ("status 429", "slow_down", "slowdown", "toomanyrequests", "throttl", "429 client error")
_UNREACHABLE = re.compile(r"NETWORK_CONNECTION.*?curlCode: \d+, ([^;]+)")
# What Amazon's client says of an answer: the name that it gave the error, or the status, and behind
# it the store's own name and sentence.
_ANSWER = re.compile(
    r"AWS Error (?:UNKNOWN \(HTTP status (?P<status>\d+)\)|(?P<known>\w+|\[code \d+\]))"
    r" during (?P<request>\w+) operation: "
    r"(?:Unable to parse ExceptionName: (?P<name>\S*) Message: )?(?P<text>.*)"
)
# Of the answers 400 to 499 these pass: Request Timeout, Conflict, Too Many Requests, and what says
# that the request arrived damaged.
_PASSING = re.compile(r"answered (408|409|429)|BadDigest|IncompleteBody|SHA256Mismatch")


def open_store(scheme: str, bucket: str) -> pyarrow.fs.FileSystem:
    """Return the file system of the addresses that begin with SCHEME://BUCKET."""
    kind = _ALIASES.get(scheme, scheme)
    if kind == "s3":
        endpoint = get_endpoint()
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


def get_endpoint() -> str | None:
    """Return the address of the S3 server to use; None for Amazon's."""
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
        check_google_login()
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

    try:
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
    except ValueError as error:
        raise SourceError(
            f"expected an address that begins with s3://, gs://, az://, hf:// or https://, got "
            f"{scheme}://"
        ) from error


@contextmanager
def explain_store_errors(uri: str) -> Iterator[None]:
    """Turn what a store's client raises into an OSError of the right class, with a remedy."""
    try:
        yield
    except FileNotFoundError as error:
        text = describe_error(error)
        is_plain = "Path does not exist" in text
        raise FileNotFoundError(2, "there is no such object" if is_plain else text) from error
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise type(error)(error.errno, _describe(error)) from error
    except (OSError, RuntimeError) as error:
        raise _choose_error(describe_error(error), uri) from error
    except Exception as error:
        # Those of fsspec's stores raise the errors of their web clients, which are no OSErrors.
        if type(error).__module__.partition(".")[0] not in _WEB_CLIENTS:
            raise
        reason = _describe(error)
        raise OSError(5, f"cannot reach the store ({reason}); check the network") from error


def is_without_reason(error: BaseException) -> bool:
    """Whether a store refused a request whose answer has no body, and so no reason."""
    text = str(error)
    return "HeadObject" in text and bool(re.search(r"status 40[013]\)|ACCESS_DENIED", text))


def _choose_error(text: str, uri: str) -> OSError:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    small = text.replace(f"'{key}'", "").lower()  # a key may contain "access denied" itself
    kind = _ALIASES.get(scheme, scheme)
    words = {"login": _LOGIN.get(kind, "the login that the store expects"), "bucket": bucket}
    for signs, error, sentence in _FINAL_ANSWERS:
        if any(sign in small for sign in signs):
            return error(2 if error is FileNotFoundError else 13, sentence.format(**words))
    if unreachable := _UNREACHABLE.search(text):
        endpoint = get_endpoint() if kind == "s3" else None
        hint = f" and AWS_ENDPOINT_URL ({endpoint})" if endpoint else ""
        return OSError(5, f"cannot reach the store ({unreachable[1]}); check the network{hint}")
    answer = _ANSWER.search(text)
    said = _cut(_describe_answer(answer) if answer else text)
    if any(sign in small for sign in _BUSY):
        return BusyError(5, said)
    if answer and (answer["status"] or "").startswith("4") and not _PASSING.search(said):
        is_nameless = answer["status"] in ("401", "403") and not answer["name"]
        return PermissionError(13, _REFUSED.format(**words) if is_nameless else said)
    return OSError(5, said)


def _describe_answer(answer: re.Match[str]) -> str:
    what = " ".join(filter(None, (answer["status"], answer["name"] or answer["known"])))
    said = answer["text"].strip()
    about = f": {said}" if said and said != "No response body." else ""
    return f"the store answered {what} to {answer['request']}{about}"


def _describe(error: BaseException) -> str:
    return _cut(describe_error(error))


def _cut(text: str) -> str:
    # The clients' own sentences repeat themselves at length.
    return text if len(text) <= 300 else f"{text[:299]}…"
