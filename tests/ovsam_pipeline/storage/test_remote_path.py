"""Addresses like paths: in memory by fsspec, and on moto's S3 behind a proxy that misbehaves."""

import os
import pickle
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from locations import ROOT
from s3_server import Fault

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage import remote_path
from ovsam_pipeline.storage.atomic import replace_file, sweep_temporary_files, write_atomically
from ovsam_pipeline.storage.checksum import ContentCheck
from ovsam_pipeline.storage.object_stores import explain_store_errors
from ovsam_pipeline.storage.remote_path import RemotePath, is_remote, parse_path
from ovsam_pipeline.storage.retry import ATTEMPTS, BusyError


@pytest.fixture(params=["memory", "s3"])
def root(request) -> RemotePath:
    if request.param == "memory":
        return RemotePath(f"memory://m{uuid.uuid4().hex}")
    return RemotePath(request.getfixturevalue("s3").uri)


# Names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b/x", True), ("gs://b", True), ("memory://x", True), ("http://h/x", True),
        ("a/b", False), ("C:/x", False), ("/s3://b", False), ("a b://c", False), ("", False),
    ],
)  # fmt: skip
def test_addresses_are_told_from_files(text, expected):
    assert is_remote(text) is expected
    assert isinstance(parse_path(text), RemotePath) is expected


def test_parts_of_an_address():
    path = parse_path("s3://bucket/a/b.tar.gz/")
    assert str(path) == "s3://bucket/a/b.tar.gz"
    assert (path.name, path.stem, path.suffix) == ("b.tar.gz", "b.tar", ".gz")
    assert str(path.parent / "c") == "s3://bucket/a/c"
    assert [str(above) for above in path.parents] == ["s3://bucket/a", "s3://bucket"]
    assert path.resolve() == path.absolute() == path
    assert parse_path("~/x") == Path.home() / "x"


def test_addresses_are_small_values():
    path = RemotePath("s3://bucket/a")
    text = pickle.dumps(path)
    assert pickle.loads(text) == path  # noqa: S301
    assert len(text) < 120
    assert len({path, RemotePath("s3://bucket/a"), RemotePath("s3://bucket/b")}) == 2


@pytest.mark.parametrize("text", ["s3://", "s3:///x", "gs:///"])
def test_address_without_a_bucket_is_refused(text):
    with pytest.raises(ValueError, match=r"expected an address like s3://bucket/folder"):
        parse_path(text)


def test_options_of_an_address_are_refused():
    with pytest.raises(ValueError, match="set AWS_ENDPOINT_URL"):
        parse_path("s3://bucket/x?endpoint_override=localhost:9000")


def test_address_does_not_stand_in_for_a_file():
    with pytest.raises(TypeError, match="is not a local file"):
        os.fspath(RemotePath("s3://bucket/x"))


# Objects


def test_object_is_written_read_listed_and_removed(root):
    file = root / "x" / "a.txt"
    assert not file.exists()
    assert list((root / "x").iterdir()) == []
    file.write_bytes("häßlich".encode())
    (root / "x" / "sub" / "b.bin").write_bytes(b"")
    assert file.read_text() == "häßlich"
    assert (file.is_file(), file.is_dir(), file.exists()) == (True, False, True)
    assert ((root / "x").is_dir(), (root / "x").is_file()) == (True, False)
    assert sorted(child.name for child in (root / "x").iterdir()) == ["a.txt", "sub"]
    assert [child.name for child in (root / "x").glob("a*.txt")] == ["a.txt"]
    assert file.stat().st_size == 9
    with file.open() as stream:
        stream.seek(1)
        assert stream.read(2) == "ä".encode()
    file.write_bytes(b"new")
    assert file.read_bytes() == b"new"
    file.unlink()
    assert not file.exists()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    with pytest.raises(FileNotFoundError, match="no such object"):
        file.stat()


def test_state_of_a_listing_is_not_asked_for_again(s3):
    root = RemotePath(s3.uri)
    (root / "a").write_bytes(b"abc")
    (child,) = root.iterdir()
    num_requests = len(s3.proxy.requests)
    assert (child.stat().st_size, child.exists(), child.is_dir()) == (3, True, False)
    assert abs(child.stat().st_mtime_ns / 1e9 - time.time()) < 60
    assert len(s3.proxy.requests) == num_requests


def test_small_object_is_one_request_and_a_large_one_arrives_whole(s3, tmp_path):
    root, file = RemotePath(s3.uri), tmp_path / "large"
    (root / "small").write_bytes(b"x" * 1000)
    assert [method for method, _ in s3.proxy.requests] == ["PUT"]
    file.write_bytes(os.urandom(1 << 20) * 12)
    (root / "large").upload(file)
    assert (root / "large").read_bytes() == file.read_bytes()
    (tmp_path / "empty").write_bytes(b"")
    (root / "empty").upload(tmp_path / "empty")
    assert (root / "empty").stat().st_size == 0


# Whole files


def test_file_that_was_not_finished_is_not_uploaded(root):
    target = root / "out.json"
    write_atomically(target, b"old")
    with pytest.raises(KeyError), replace_file(target) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise KeyError
    assert target.read_bytes() == b"old"
    assert not temporary.exists()
    with replace_file(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert sweep_temporary_files(root) == 0


def test_full_temporary_folder_is_said_with_the_way_out(root):
    # Opened by name only to write into it: what makes files there would replace the device.
    with (  # noqa: PT012
        pytest.raises(OutputError, match=r"^cannot write .*no space left in .* as TMPDIR$"),
        replace_file(root / "x") as temporary,
    ):
        temporary.touch()
        with pa.OSFile("/dev/full", "wb") as stream:
            stream.write(b"x" * 100)
    assert not (root / "x").exists()


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "a.bin", times=2, status=500),
        Fault("status", "a.bin", times=2, status=503),
        Fault("status", "a.bin", times=8, status=429),
        Fault("short", "a.bin", times=2, methods=("GET",)),
        Fault("flip", "a.bin", times=2, methods=("GET",)),
        Fault("reset", "a.bin", times=2, methods=("GET",)),
        Fault("slow", "a.bin", seconds=0.5, methods=("GET",)),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_passing_faults_are_not_noticed(s3, fault):
    file = RemotePath(f"{s3.uri}/a.bin")
    file.write_bytes(b"x" * 300_000)
    s3.proxy.faults.append(fault)
    assert file.read_bytes() == b"x" * 300_000
    assert fault.hits >= 1


def test_write_is_repeated(s3):
    file, fault = RemotePath(f"{s3.uri}/a.bin"), Fault("status", "a.bin", times=2, status=503)
    s3.proxy.faults.append(fault)
    file.write_bytes(b"content")
    assert fault.hits == 2
    assert file.read_bytes() == b"content"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("InvalidAccessKeyId", "does not know the access key: check AWS_PROFILE"),
        ("SignatureDoesNotMatch", "access to .* is refused: check AWS_PROFILE"),
        ("AccessDenied", "access to .* is refused: check AWS_PROFILE"),
        ("ExpiredToken", r"the login has expired: renew it \(AWS_PROFILE.*same command goes on"),
        ("InvalidToken", "does not know the session token: renew the login"),
        ("QuotaExceeded", "the store answered 403 QuotaExceeded to ListObjectsV2: as asked for"),
    ],
)
def test_refused_login_is_said_at_once(s3, code, reason):
    s3.proxy.faults.append(Fault("status", status=403, code=code))
    with pytest.raises(PermissionError, match=reason):
        list(RemotePath(f"{s3.uri}/in").iterdir())
    assert len(s3.proxy.requests) == 1


@pytest.mark.parametrize("status", [400, 403])
def test_reason_that_an_answer_without_body_hides_is_asked_for(s3, status):
    """Reading begins with HEAD, whose answer says the status alone."""
    s3.proxy.faults.append(Fault("status", status=status, code="ExpiredToken"))
    with pytest.raises(PermissionError, match="the login has expired"):
        RemotePath(f"{s3.uri}/in").read_bytes()
    assert len(s3.proxy.requests) == 2


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        ("AWS Error UNKNOWN (HTTP status 400) during PutObject operation: Unable to parse "
         "ExceptionName: InvalidArgument Message: odd", PermissionError,
         "the store answered 400 InvalidArgument to PutObject: odd"),
        ("AWS Error UNKNOWN (HTTP status 400) during PutObject operation: Unable to parse "
         "ExceptionName: BadDigest Message: odd", OSError,
         "the store answered 400 BadDigest to PutObject: odd"),
        ("AWS Error UNKNOWN (HTTP status 429) during HeadObject operation: No response body.",
         BusyError, "the store answered 429 to HeadObject"),
        ("AWS Error SLOW_DOWN during PutObject operation: less", BusyError,
         "the store answered SLOW_DOWN to PutObject: less"),
        ("AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: No response body.",
         PermissionError, "access to b is refused: check AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
         "AWS_SECRET_ACCESS_KEY"),
        ("AWS Error REQUEST_TIME_TOO_SKEWED during GetObject operation: x", PermissionError,
         "the clock of this machine differs too much from the store's: set it, and the same "
         "command goes on"),
        ("AWS Error NETWORK_CONNECTION: curlCode: 60, certificate has expired; x", OSError,
         "cannot reach the store (certificate has expired); check the network"),
        ("Path does not exist 'b/k'. Detail: x", FileNotFoundError, "there is no such object"),
    ],
)  # fmt: skip
def test_answer_of_a_store_is_one_plain_sentence(monkeypatch, said, kind, reason):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    raised = FileNotFoundError if kind is FileNotFoundError else OSError
    with pytest.raises(OSError) as caught, explain_store_errors("s3://b/k"):  # noqa: PT011
        raise raised(said)
    assert type(caught.value) is kind
    assert caught.value.strerror == reason


@pytest.mark.parametrize("kind", ["short", "flip"])
def test_damage_on_the_way_that_stays_is_a_failure_of_the_store(s3, kind):
    """Arrow fills what is missing of a short body with whatever is in memory, without a word."""
    for name in ("first", "second"):
        (RemotePath(s3.uri) / name).write_bytes(b"x" * 1000)
    first, second = RemotePath(s3.uri).iterdir()
    first.read_bytes()
    s3.proxy.faults.append(Fault(kind, "second", methods=("GET",)))
    with pytest.raises(OSError, match="other bytes came than the store's checksum"):
        second.read_bytes()
    assert s3.proxy.faults[0].hits >= 3, "it was asked for again"


def test_object_that_was_replaced_since_it_was_listed_is_a_failure_of_the_store(s3, monkeypatch):
    monkeypatch.setattr("ovsam_pipeline.storage.retry.ATTEMPTS", 1)
    file = RemotePath(s3.uri) / "a"
    file.write_bytes(b"x" * 10)
    with pytest.raises(OSError, match="10 bytes came of an object that was listed with 9"):
        file.read_bytes(9)


def test_object_that_became_shorter_while_it_was_read_is_read_again(monkeypatch):
    """Two runs that write their lock at once: pyarrow's error would end the run as a bug."""
    root = RemotePath(f"memory://m{uuid.uuid4().hex}")
    (root / "lock").write_bytes(b"whole")
    reads = iter([SystemError("Negative size passed to PyBytes_FromStringAndSize"), b"whole"])

    class Stream:
        def read(self):
            found = next(reads)
            if isinstance(found, Exception):
                raise found
            return found

    whole = remote_path._read_whole
    monkeypatch.setattr(remote_path, "_read_whole", lambda stream: whole(Stream()))
    assert (root / "lock").read_bytes() == b"whole"


def test_stream_goes_on_where_a_connection_broke(s3):
    content = os.urandom(200_000)
    file = RemotePath(f"{s3.uri}/a.bin")
    file.write_bytes(content)
    s3.proxy.faults.append(Fault("reset", "a.bin", times=2, methods=("GET",)))
    s3.proxy.faults.append(Fault("status", "a.bin", times=4, status=429, methods=("GET",)))
    with file.open() as stream:
        stream.seek(-150_000, os.SEEK_END)
        assert stream.read(100_000) == content[50_000:150_000]
        assert stream.read() == content[150_000:]
    assert all(fault.times == 0 for fault in s3.proxy.faults)


def test_bucket_with_other_checksums_than_md5_is_known_by_equal_bytes():
    """As one that encrypts with a key of its own: its ETags look like MD5 sums."""
    other = {"ETag": b'"0123456789abcdef0123456789abcdef"'}
    check = ContentCheck("encrypted", 3)
    for _ in range(ATTEMPTS - 1):
        with pytest.raises(OSError, match="other bytes"):
            check.check(b"abc", other)
    check.check(b"abc", other)
    ContentCheck("encrypted", 3).check(b"xyz", other)
    with pytest.raises(OSError, match="2 bytes came of an object that was listed with 3"):
        ContentCheck("encrypted", 3).check(b"ab", other)
    ContentCheck("in pieces", -1).check(b"abc", {"ETag": b'"0123456789abcdef0123456789abcdef-2"'})


def test_name_of_an_object_is_no_sign_of_an_error(s3, monkeypatch):
    monkeypatch.setattr("ovsam_pipeline.storage.retry.ATTEMPTS", 1)
    s3.proxy.faults.append(Fault("status", status=500))
    with pytest.raises(OSError, match="the store answered 500 to HeadObject") as caught:
        RemotePath(f"{s3.uri}/access denied").read_bytes()
    assert not isinstance(caught.value, PermissionError)


def test_missing_bucket_is_said(s3):
    path = RemotePath("s3://no-such-bucket-here/x")
    with pytest.raises(FileNotFoundError, match="no bucket no-such-bucket-here; make it first"):
        path.check_bucket()
    with pytest.raises(FileNotFoundError, match="no bucket no-such-bucket-here"):
        path.write_bytes(b"x")
    RemotePath(f"{s3.uri}/x").check_bucket()
    RemotePath("memory://needs/none").check_bucket()


_ASK = """
import time
from ovsam_pipeline.storage.checksum import ContentCheck
from ovsam_pipeline.storage.object_stores import explain_store_errors
from ovsam_pipeline.storage.remote_path import RemotePath
start = time.time()
try:
    RemotePath("s3://some-bucket/x").check_bucket()
except OSError as error:
    print(type(error).__name__, error.strerror)
print(time.time() - start)
"""


def ask_elsewhere(**environment: str) -> tuple[str, float, str]:
    """Return what a process of its own says of a bucket, after how long, and its stderr."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    root = str(ROOT)
    finished = subprocess.run(
        [sys.executable, "-c", _ASK],
        env={**kept, "PYTHONPATH": root, **environment},
        capture_output=True, text=True, check=True, timeout=90,
    )  # fmt: skip
    *said, seconds = finished.stdout.splitlines()
    return "\n".join(said), float(seconds), finished.stderr


def test_no_login_is_one_sentence_and_asks_no_other_network(s3, tmp_path):
    s3.proxy.faults.append(Fault("status", status=403, code="AccessDenied"))
    said, seconds, noise = ask_elsewhere(AWS_ENDPOINT_URL=s3.proxy.url, HOME=str(tmp_path))
    assert said == (
        "PermissionError access to some-bucket is refused: check AWS_PROFILE, or "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
    assert seconds < 30
    assert noise == ""


@pytest.mark.slow
def test_dead_server_is_given_up_within_half_a_minute():
    said, seconds, noise = ask_elsewhere(
        AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"
    )
    assert said.startswith("OSError cannot reach the store (Could not connect to server); check")
    assert said.endswith("AWS_ENDPOINT_URL (http://127.0.0.1:9)")
    assert seconds < 30
    assert noise == ""


@pytest.mark.slow
def test_silent_server_is_given_up(s3):
    s3.proxy.faults.append(Fault("hang", seconds=100))
    said, seconds, _ = ask_elsewhere(
        AWS_ENDPOINT_URL=s3.proxy.url, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"
    )
    assert said.startswith("OSError cannot reach the store")
    assert seconds < 75
