import errno
import hashlib
import socket
from pathlib import Path

import pytest
from file_server import FileServer, run_file_server

from ovsam.errors import DownloadError
from ovsam.weights.download import check_sha256, download, explain_disk_errors

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def running_server():
    with run_file_server() as server:
        yield server


@pytest.fixture
def server(running_server: FileServer):
    running_server.files.clear()
    running_server.requests.clear()
    running_server.status = 200
    return running_server


def fetch(server: FileServer, target: Path, **options) -> Path:
    return download(f"{server.url}/weights.bin", target, wait_s=0, **options)


def test_download_writes_the_checked_file_and_no_partial_one(server, tmp_path):
    served = server.serve("/weights.bin", CONTENT)
    seen = []
    path = fetch(
        server,
        tmp_path / "new" / "weights.bin",
        sha256=served.sha256,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert not list(path.parent.glob("*.part"))


def test_existing_file_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"mine")
    assert fetch(server, tmp_path / "weights.bin").read_bytes() == b"mine"
    assert server.requests == []


def test_cut_connection_is_continued_where_it_stopped(server, tmp_path):
    served = server.serve("/weights.bin", CONTENT, cut_after=[100_000, 50_000])
    path = fetch(server, tmp_path / "weights.bin", sha256=served.sha256)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-", "bytes=150000-"]


def test_next_call_continues_after_the_first_gave_up(server, tmp_path):
    served = server.serve("/weights.bin", CONTENT, cut_after=[90_000, 0, 0, 0, 0])
    with pytest.raises(DownloadError, match=r"with 90000 bytes on disk.*continues from there"):
        fetch(server, tmp_path / "weights.bin", sha256=served.sha256)
    served.cut_after.clear()
    path = fetch(server, tmp_path / "weights.bin", sha256=served.sha256)
    assert path.read_bytes() == CONTENT
    assert server.ranges()[-1] == "bytes=90000-"


def test_server_without_ranges_sends_the_whole_file_again(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(b"x" * 5000)
    served = server.serve("/weights.bin", CONTENT, ignores_ranges=True)
    path = fetch(server, tmp_path / "weights.bin", sha256=served.sha256)
    assert path.read_bytes() == CONTENT


def test_part_that_is_complete_is_taken(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT)
    served = server.serve("/weights.bin", CONTENT)
    assert fetch(server, tmp_path / "weights.bin", sha256=served.sha256).read_bytes() == CONTENT
    assert server.ranges() == [f"bytes={len(CONTENT)}-"]


def test_part_longer_than_the_file_is_started_again(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT + b"more")
    served = server.serve("/weights.bin", CONTENT)
    assert fetch(server, tmp_path / "weights.bin", sha256=served.sha256).read_bytes() == CONTENT


def test_damaged_content_is_refused_and_removed(server, tmp_path):
    served = server.serve("/weights.bin", CONTENT, is_damaged=True)
    with pytest.raises(DownloadError, match=f"arrived damaged: expected sha256 {served.sha256}"):
        fetch(server, tmp_path / "weights.bin", sha256=served.sha256)
    assert not (tmp_path / "weights.bin").exists()
    assert not (tmp_path / "weights.bin.part").exists()


@pytest.mark.parametrize(
    ("status", "advice"),
    [(403, "a proxy or a firewall"), (503, "try again later")],
)
def test_http_errors_say_what_to_do(server, tmp_path, status, advice):
    server.serve("/weights.bin", CONTENT)
    server.status = status
    with pytest.raises(DownloadError, match=f"HTTP {status}.*{advice}"):
        fetch(server, tmp_path / "weights.bin")


def test_missing_file_says_that_it_moved(server, tmp_path):
    with pytest.raises(DownloadError, match=r"HTTP 404.*the file has moved"):
        fetch(server, tmp_path / "weights.bin")


def test_refused_connection_names_the_address(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/weights.bin"
        with pytest.raises(DownloadError, match=rf"cannot download {url}: .*refused"):
            download(url, tmp_path / "weights.bin", wait_s=0)


def test_full_disk_is_told_before_the_download(server, tmp_path, monkeypatch):
    server.serve("/weights.bin", CONTENT)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("ovsam.weights.download.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match=r"the disk is full: weights.bin does not fit"):
        fetch(server, tmp_path / "weights.bin")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "cannot write .*a folder that you may write"),
    ],
)
def test_disk_errors_become_sentences(tmp_path, code, sentence):
    with pytest.raises(DownloadError, match=sentence), explain_disk_errors(tmp_path / "x"):
        raise OSError(code, "low level")


def test_other_os_errors_pass_through(tmp_path):
    with pytest.raises(OSError, match=r"odd"), explain_disk_errors(tmp_path / "x"):
        raise OSError(errno.EIO, "odd")


def test_check_sha256_returns_the_digest(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    assert check_sha256(tmp_path / "a", None, "a") == hashlib.sha256(CONTENT).hexdigest()
