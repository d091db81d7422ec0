"""What a listing leaves out: system folders, `--exclude`, folders that cannot be read."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.left_out import LeftOut, is_system_folder
from ovsam_pipeline.sources.listing import list_images

SYSTEM_FOLDERS = (
    "@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "@__thumb", "@Recycle", "lost+found",
    "System Volume Information", "__MACOSX", "FOUND.000", "~snapshot",
)  # fmt: skip


def make_files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def get_names(*sources: object, **options: object) -> list[str]:
    return [record.file_name for record in list_images(sources, **options)]


@pytest.fixture
def share(tmp_path):
    """A folder as a storage box shows it: two photos, and copies that nobody asked for."""
    copies = [f"2024/{name}/deep/copy.jpg" for name in SYSTEM_FOLDERS]
    return make_files(tmp_path / "share", "a.jpg", "2024/b.jpg", ".snapshot/a.jpg", *copies)


@pytest.mark.parametrize("pattern", ["", "/**/*.jpg", "/**", "/2024/.."])
def test_folders_of_systems_are_left_out_of_folders_and_globs(share, pattern):
    listing = list_images([f"{share}{pattern}"])
    assert sorted(record.file_name for record in listing) == ["2024/b.jpg", "a.jpg"]
    (sentence,) = listing.describe_left_out()
    assert sentence.startswith("11 folders of systems or storage boxes left out (#recycle, ")


def test_an_archive_of_such_a_folder_has_the_same_images(share, tmp_path):
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        archive.add(share, arcname="")
    names = get_names(tmp_path / "t.tar")
    assert sorted(names) == ["t.tar/2024/b.jpg", "t.tar/a.jpg"]


def test_several_sources_as_a_shell_names_them_leave_them_out_too(tmp_path):
    make_files(tmp_path, "@eaDir/c.jpg", "x/a.jpg", "#recycle/b.jpg")
    names = get_names(tmp_path / "@eaDir", tmp_path / "x", tmp_path / "#recycle/b.jpg")
    assert names == ["x/a.jpg"]


def test_such_a_folder_is_labelled_where_it_is_named(share):
    assert get_names(share / "2024/#recycle") == ["deep/copy.jpg"]
    assert get_names(f"{share}/2024/#recycle/*/*.jpg") == ["deep/copy.jpg"]


def test_usual_names_of_folders_are_no_system_folders():
    for name in ("snapshots", "recycle", "thumbs", "2024", "found", "@home", "trash.d"):
        assert not is_system_folder(name)


@pytest.mark.parametrize(
    ("pattern", "meant", "others"),
    [
        ("thumbs", ["thumbs/a.jpg", "x/thumbs/y/a.jpg"], ["thumbs2/a.jpg", "a/thumbs.jpg"]),
        ("*.png", ["a.png", "x/a.png"], ["a.PNG", "png"]),
        ("day1/*.png", ["day1/a.png"], ["day1/x/a.png", "x/day1/a.png"]),
        ("day1/**", ["day1/a.png", "day1/x/a.png"], ["day1", "day10/a.png"]),
        ("**/raw/*.jpg", ["raw/a.jpg", "x/y/raw/a.jpg"], ["raw/x/a.jpg"]),
        ("/raw", ["raw/a.jpg"], ["x/raw/a.jpg"]),
        ("tmp/", ["tmp/a.jpg", "x/tmp/a.jpg"], ["tmp", "x/tmp"]),
        ("img_[0-2]?.jpg", ["img_1x.jpg"], ["img_31.jpg", "img_1/.jpg"]),
        ("[!a]*", ["b.jpg"], ["a.jpg"]),
        ("a[1].jpg", ["a1.jpg"], ["a[1].jpg"]),
        ("/mnt/x", ["/mnt/x/a.jpg"], ["/mnt/y/a.jpg"]),
    ],
)
def test_a_pattern_means_names_as_in_a_gitignore(pattern, meant, others):
    left_out = LeftOut([pattern])
    assert [name for name in meant + others if left_out.is_excluded(name)] == meant


@pytest.mark.parametrize("pattern", ["", "/", "[z-a]"])
def test_a_pattern_that_means_nothing_is_refused(pattern):
    with pytest.raises(ConfigError, match="expected --exclude as a glob"):
        LeftOut(["x", pattern])


def test_excluded_images_are_left_out_of_every_kind_of_source(tmp_path):
    make_files(tmp_path, "in/a.jpg", "in/raw/b.jpg", "in/raw/deep/c.jpg")
    (tmp_path / "in/list.txt").write_text("a.jpg\nraw/b.jpg\n")
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        archive.add(tmp_path / "in", arcname="in")
    for source in (tmp_path / "in", f"{tmp_path}/in/**", tmp_path / "in/list.txt"):
        listing = list_images([source], exclude=["raw"])
        assert [record.file_name for record in listing] == ["a.jpg"]
        assert "1 left out by --exclude" in listing.describe_left_out()[-1]
    assert get_names(tmp_path / "t.tar", exclude=["raw", "*.png"]) == ["t.tar/in/a.jpg"]


def test_a_source_of_which_all_is_excluded_is_said_or_among_others_passed_over(tmp_path):
    make_files(tmp_path, "a/x.jpg", "b/y.png")
    with pytest.raises(SourceError, match="found none; 1 left out by --exclude"):
        get_names(tmp_path / "b", exclude=["*.png"])
    assert get_names(tmp_path / "a", tmp_path / "b", exclude=["*.png"]) == ["a/x.jpg"]


# Root may read everything, so these list as another user.
_LIST_AS_NOBODY = """
import os, sys
from ovsam.errors import OvsamError
from ovsam_pipeline.sources.listing import list_images
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    listing = list_images(sys.argv[1:])
    print(*(record.file_name for record in listing))
    print(listing.left_out.describe_unreadable())
except OvsamError as error:
    print("refused:", error)
"""


@pytest.fixture
def closed():
    """Folders as a normal user meets them: closed, without search permission, a link into one."""
    # Not tmp_path: pytest's own folders are closed to others.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = make_files(folder / "in", "a.jpg", "shut/b.jpg", "shut/in/c.jpg", "names/d/e.jpg")
    (root / "a.link").symlink_to(root / "shut/in")
    (root / "names").chmod(0o744)
    (root / "shut").chmod(0)
    yield root
    (root / "shut").chmod(0o755)
    (root / "names").chmod(0o755)
    shutil.rmtree(folder)


def list_as_nobody(*sources: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _LIST_AS_NOBODY, *sources],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions of POSIX")
def test_folders_without_permission_are_counted_and_the_rest_is_listed(closed):
    for source in (f"{closed}", f"{closed}/**/*.jpg"):
        names, gaps = list_as_nobody(source).splitlines()
        assert names == "a.jpg"
        assert " folders cannot be read, so the images in them are not listed: " in gaps
        assert "shut: Permission denied" in gaps
        assert "names/d: Permission denied" in gaps
    assert "refused: cannot read the folder" in list_as_nobody(f"{closed}/shut")
    assert "shut/in: Permission denied" in list_as_nobody(f"{closed}/shut/in")
    assert "refused: cannot read" in list_as_nobody(f"{closed}/shut/*.jpg")


def test_a_path_too_long_for_the_system_is_counted(tmp_path):
    make_files(tmp_path, "a.jpg")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # 4,096 bytes is what a path may have
        os.mkdir("d" * 250, dir_fd=descriptor)
        descriptor, above = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor), descriptor
        os.close(above)
    os.close(descriptor)
    for source in (f"{tmp_path}", f"{tmp_path}/**"):
        listing = list_images([source])
        assert [record.file_name for record in listing] == ["a.jpg"]
        assert "File name too long" in listing.left_out.describe_unreadable()


def test_a_linked_folder_that_holds_the_source_is_not_listed_twice(tmp_path):
    make_files(tmp_path, "in/a.jpg", "b.jpg")
    (tmp_path / "in/up").symlink_to(tmp_path)
    assert get_names(tmp_path / "in") == ["a.jpg", "up/b.jpg"]


@pytest.mark.parametrize("name", ["x.txt", "x.json", "x.tar", "x.parquet"])
def test_a_pipe_is_refused_at_once_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match=f"expected a file, got a pipe.*{name}"):
        get_names(tmp_path / name)
    if name.endswith(("tar", "parquet")):
        with pytest.raises(SourceError, match="expected a file, got a pipe"):
            get_names(tmp_path)
