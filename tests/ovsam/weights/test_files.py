from pathlib import Path

import pytest

from ovsam.weights.files import (
    find_cache_folder,
    replace_file,
    sweep_temporary_files,
    write_atomically,
)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"OVSAM_CACHE": "/a", "OVSAM_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/a"),
        ({"OVSAM_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/ovsam"),
        ({"HOME": "/home/me"}, "/home/me/.cache/ovsam"),
        ({"OVSAM_CACHE": "", "HOME": "/home/me"}, "/home/me/.cache/ovsam"),
    ],
)
def test_cache_folder_follows_the_environment(monkeypatch, variables, folder):
    for name in ("OVSAM_CACHE", "OVSAM_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_cache_folder() == Path(folder)


def test_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_written_file_is_readable_like_any_other(tmp_path):
    write_atomically(tmp_path / "a", b"one")
    (tmp_path / "b").write_bytes(b"one")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "b.json"
    write_atomically(path, b"one")

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr("ovsam.weights.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "b.json"
    write_atomically(path, b"one")
    with pytest.raises(KeyError), replace_file(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise KeyError
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_file_of_a_strict_writer_gets_an_ordinary_mode(tmp_path):
    with replace_file(tmp_path / "a") as temporary:
        temporary.write_bytes(b"one")
        temporary.chmod(0o600)
    (tmp_path / "b").write_bytes(b"one")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_sweep_removes_the_leftovers_of_the_named_files_alone(tmp_path):
    for name in (".a.tmp-1-2", ".a.tmp-3", ".b.tmp-1-2", "a", "a.tmp"):
        (tmp_path / name).touch()
    assert sweep_temporary_files(tmp_path, "a") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.tmp-1-2", "a", "a.tmp"]
    assert sweep_temporary_files(tmp_path) == 1
