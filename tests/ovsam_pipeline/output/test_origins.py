"""Rows and images of one name from different places, and rows whose sources are not there now."""

import os
import shutil
from pathlib import Path

import pytest
from fake_labeller import make_labeller, write_images

import ovsam_pipeline
from ovsam.errors import ConfigError
from ovsam_pipeline.commands.label import format_result
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.output.folder import iterate_rows
from ovsam_pipeline.records import ImageRecord, Origin
from ovsam_pipeline.sources.cells import ParquetCell
from ovsam_pipeline.sources.tar import TarMember
from ovsam_pipeline.storage.remote_path import RemotePath
from ovsam_pipeline.storage.web_file import HttpFile


@pytest.fixture(autouse=True)
def fake_networks(monkeypatch):
    monkeypatch.setattr(builders, "build_labeller", make_labeller)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def make_images(folder: Path, num_images: int = 3, age_s: float = 100.0) -> Path:
    """Make 0000.png, 0001.png … in a folder; two folders of other ages hold other images."""
    write_images(folder, num_images)
    for path in folder.iterdir():
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    return folder


def read_names(out) -> list[str]:
    return sorted(row["file_name"] for row in iterate_rows(out))


@pytest.mark.parametrize(
    ("name", "place", "folder"),
    [
        ("a/b.jpg", Path("/data/a/b.jpg"), "/data"),
        ("b.jpg", Path("/data/x/../b.jpg"), "/data"),
        ("odd\\xff.jpg", Path("/data/odd.jpg"), "/data"),
        ("/data/b.jpg", Path("/data/b.jpg"), ""),
        ("s.tar/in/b.jpg", TarMember(Path("/data/s.tar"), "in/b.jpg", 512, 9), "/data"),
        ("t/s.parquet/in/b.jpg", ParquetCell(Path("/data/t/s.parquet"), "image", 0, 0), "/data"),
        ("a/b.jpg", RemotePath("s3://bucket/data/a/b.jpg"), "s3://bucket/data"),
        ("a/b.jpg", HttpFile("https://user:word@host/data/a/b.jpg?sig=1"), "https://host/data"),
    ],
)
def test_the_folder_of_an_image_is_what_its_name_is_relative_to(name, place, folder):
    assert ImageRecord(1, name, place, source="/s").origin == Origin("/s", folder)


@pytest.mark.parametrize("place", ["b.jpg", "./b.jpg", "../here/b.jpg"])
def test_the_folder_of_a_relative_place_is_absolute(tmp_path, monkeypatch, place):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert ImageRecord(1, "b.jpg", Path(place)).origin.folder == str(tmp_path / "here")


def test_other_images_of_the_same_names_never_replace_rows(tmp_path, out):
    first, second = make_images(tmp_path / "a"), make_images(tmp_path / "b", age_s=200)
    ovsam_pipeline.label(first, output=out)
    before = list(iterate_rows(out))
    sentence = rf"out was made from {first}, now {second}: 3 names are in both for other images"
    with pytest.raises(ConfigError, match=sentence):
        ovsam_pipeline.label(second, output=out, prune=True)
    assert list(iterate_rows(out)) == before
    # Also where just one differs, of two folders that both are there.
    for path in first.iterdir():
        shutil.copy2(path, second)
    os.utime(second / "0001.png")
    with pytest.raises(
        ConfigError, match=r"1 name is in both for other images, such as '0001.png'"
    ):
        ovsam_pipeline.label(second, output=out)
    assert ovsam_pipeline.label(second, output=out, on_existing="overwrite").summary.done == 3


def test_a_folder_that_moved_keeps_its_rows(tmp_path, out, caplog):
    caplog.set_level("INFO")
    first = make_images(tmp_path / "a", 5)
    ovsam_pipeline.label(first, output=out)
    moved = first.rename(tmp_path / "b")
    result = ovsam_pipeline.label(moved, output=out)
    assert (result.summary.done, result.plan.num_unchanged) == (0, 5)
    assert f"5 images of {first} found in {moved} by name, size and time" in caplog.text
    # What changed in it since is labelled again, what was deleted is pruned.
    os.utime(moved / "0000.png")
    (moved / "0001.png").unlink()
    result = ovsam_pipeline.label(moved, output=out, prune=True)
    assert (result.plan.num_changed, result.plan.num_pruned) == (1, 1)


@pytest.mark.parametrize("spelling", ["{0}/", "{0}/../a", "{0}/.", "link", "{0}/*.png", "a"])
def test_a_source_spelled_another_way_is_the_same(tmp_path, out, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    first = make_images(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    ovsam_pipeline.label(first, output=out)
    os.utime(first / "0000.png")
    result = ovsam_pipeline.label(spelling.format(first), output=out)
    assert (result.plan.num_changed, result.plan.num_unchanged, result.plan.notes) == (1, 2, ())


def test_images_that_a_shell_listed_are_those_of_their_folder(tmp_path, out):
    first = make_images(tmp_path / "a")
    ovsam_pipeline.label(*sorted(first.iterdir()), output=out)
    (first / "0002.png").unlink()
    assert ovsam_pipeline.label(first, output=out, prune=True).plan.num_pruned == 1


def test_a_source_may_be_added_and_its_rows_are_pruned_with_it_alone(tmp_path, out, caplog):
    caplog.set_level("INFO")
    first, second = make_images(tmp_path / "a"), make_images(tmp_path / "b", 6)
    for name in ("0000.png", "0001.png", "0002.png"):
        (second / name).unlink()
    ovsam_pipeline.label(first, output=out)
    result = ovsam_pipeline.label(second, output=out, prune=True)
    assert (result.plan.num_new, result.plan.num_deleted, result.totals.images) == (3, 0, 6)
    assert f"3 rows are of {first}, which is not among the sources now: kept" in caplog.text
    (first / "0000.png").unlink()
    (second / "0005.png").unlink()
    ovsam_pipeline.label(second, output=out, prune=True)
    assert read_names(out) == ["0000.png", "0001.png", "0002.png", "0003.png", "0004.png"]
    ovsam_pipeline.label(first, output=out, prune=True)
    assert read_names(out) == ["0001.png", "0002.png", "0003.png", "0004.png"]


def test_rows_of_a_folder_inside_the_source_are_its_rows(tmp_path, out):
    inner = make_images(tmp_path / "photos" / "cam1")
    ovsam_pipeline.label(inner, output=out)
    result = ovsam_pipeline.label(tmp_path / "photos", output=out, prune=True)
    assert (result.plan.num_new, result.plan.num_pruned) == (3, 3)
    assert read_names(out) == ["cam1/0000.png", "cam1/0001.png", "cam1/0002.png"]
    # Not the other way round.
    result = ovsam_pipeline.label(inner, output=out, prune=True)
    assert (result.plan.num_new, result.plan.num_pruned, result.totals.images) == (3, 0, 6)


def test_two_lists_in_one_folder_are_two_sources(tmp_path, out):
    make_images(tmp_path / "a", 4)
    for name, lines in (("one.txt", "a/0000.png\na/0001.png\n"), ("two.txt", "a/0002.png\n")):
        (tmp_path / name).write_text(lines)
        ovsam_pipeline.label(tmp_path / name, output=out, prune=True)
    assert len(read_names(out)) == 3
    # What leaves a list is no longer in the sources, though its file is there.
    (tmp_path / "one.txt").write_text("a/0000.png\n")
    assert ovsam_pipeline.label(tmp_path / "one.txt", output=out, prune=True).plan.num_pruned == 1


def test_rows_of_an_empty_folder_are_not_pruned(tmp_path, out, caplog):
    photos = tmp_path / "photos"
    make_images(photos / "disk" / "cam1", 4)
    make_images(photos / "cam2", 2)
    ovsam_pipeline.label(photos, output=out)
    before = read_names(out)
    # Not mounted: the folder is there and holds nothing.
    (photos / "disk" / "cam1").rename(tmp_path / "away")
    (photos / "cam2" / "0000.png").unlink()
    result = ovsam_pipeline.label(photos, output=out, prune=True)
    assert (result.plan.num_deleted, result.plan.num_pruned) == (5, 1)
    assert read_names(out) == [name for name in before if name != "cam2/0000.png"]
    assert f"{photos / 'disk'} holds no image any more: 4 rows are kept" in caplog.text
    # Deleted with its folder.
    (photos / "disk").rmdir()
    assert ovsam_pipeline.label(photos, output=out, prune=True).plan.num_pruned == 4


def test_rows_of_a_link_that_leads_nowhere_are_not_pruned(tmp_path, out):
    make_images(tmp_path / "disk")
    make_images(tmp_path / "photos" / "here", 1)
    (tmp_path / "photos" / "disk").symlink_to(tmp_path / "disk")
    ovsam_pipeline.label(tmp_path / "photos", output=out)
    (tmp_path / "disk").rename(tmp_path / "away")
    result = ovsam_pipeline.label(tmp_path / "photos", output=out, prune=True)
    assert (result.plan.num_deleted, result.plan.num_pruned) == (3, 0)
    assert "--prune removes" not in "\n".join(format_result(result))
