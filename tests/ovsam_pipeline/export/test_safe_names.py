"""Names of others become files of an export: inside it, distinct, and the same each time."""

import unicodedata

import pytest

from ovsam_pipeline.export.safe_names import SafeNames, make_safe_path

HOSTILE = (
    "../../etc/passwd.jpg",
    "/etc/passwd.jpg",
    "C:\\Windows\\x.jpg",
    "a/../../b.jpg",
    "s3://bucket/../x.jpg",
    "..",
    "",
    "/",
    "nul\0byte.jpg",
    "CON.jpg",
    "aux/lpt1.png",
    "dot. /x.jpg",
    " /.jpg",
    "\ud800.jpg",
    "new\nline.jpg",
    "é" * 300 + ".jpg",
    "/".join(["d" * 100] * 20) + "/x.jpg",
    "x." + "y" * 400,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_inside_and_can_be_written(name, tmp_path):
    stem, suffix = SafeNames().make(name)
    path = f"{stem}{suffix}"
    parts = path.split("/")
    assert all(part not in ("", ".", "..") and len(part.encode()) <= 255 - 20 for part in parts)
    assert not any(sign in path for sign in '\\:\0\n<>"|?*')
    file = tmp_path / f"{path}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    assert tmp_path in file.resolve().parents


def test_plain_names_stay_as_they_are():
    names = SafeNames()
    assert names.make("sub/späce and 猫.jpeg") == ("sub/späce and 猫", ".jpeg")
    assert names.make("no_suffix") == ("no_suffix", "")
    assert names.make("s3://bucket/a/b.png") == ("bucket/a/b", ".png")


def test_names_that_disks_take_for_one_become_different_whatever_the_order():
    names = ("a.jpg", "A.jpg", "a.png", unicodedata.normalize("NFD", "é.jpg"), "é.jpg", "../a.jpg")
    for order in (names, names[::-1]):
        made = SafeNames()
        stems = [made.make(name)[0] for name in order]
        folded = {unicodedata.normalize("NFC", stem).casefold() for stem in stems}
        assert len(folded) == len(names)


def test_marks_depend_on_the_name_alone():
    first, second = SafeNames(), SafeNames()
    first.make("a.jpg")
    second.make("A.jpeg")
    assert first.make("a.png") == second.make("a.png")


def test_reserved_folders_are_avoided_at_every_place():
    names = SafeNames(("images", "labels"))
    assert names.make("x/Images/labels.jpg")[0] == "x/Images_/labels_"


def test_parts_have_no_folders():
    names = SafeNames()
    assert names.make_part("bow/tie") == "bow__tie"
    assert names.make_part("../x") == "..__x"
    assert names.make_part("") == "_"
    assert names.make_part("Bow__Tie") != "Bow__Tie"


def test_empty_and_dots_are_a_name():
    assert make_safe_path("../..") == "_"
