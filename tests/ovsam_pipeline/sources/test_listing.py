import json
import os
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from bad_images import write_bad_images

from ovsam.coco_fields import to_id
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import compute_image_id
from ovsam_pipeline.sources.listing import list_images


def make_files(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def get_names(*sources: object, **options: object) -> list[str]:
    return [record.file_name for record in list_images(sources, **options)]


def write_json(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def make_coco(path: Path, *names: str) -> Path:
    images = [
        {"id": 10 + i, "file_name": name, "width": 7, "height": 5} for i, name in enumerate(names)
    ]
    return write_json(path, {"annotations": [{"id": 1}], "images": images, "categories": []})


# Folders


def test_folder_is_walked_in_order_with_relative_names(tmp_path):
    make_files(tmp_path, "b.jpg", "a.PNG", "sub/c.webp", "sub/deep/d.tiff", "a-b/e.gif")
    expected = ["a-b/e.gif", "a.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.tiff"]
    assert get_names(tmp_path) == expected
    assert get_names(tmp_path) == expected


def test_record_has_id_path_size_and_time(tmp_path):
    make_files(tmp_path, "sub/c.jpg")
    os.utime(tmp_path / "sub/c.jpg", ns=(5, 1234567890123456789))
    (record,) = list_images([str(tmp_path)])
    assert record.image_id == compute_image_id("sub/c.jpg")
    assert record.path == tmp_path / "sub" / "c.jpg"
    assert (record.size_bytes, record.mtime_ns) == (1, 1234567890123456789)
    assert (record.width, record.height) == (None, None)


def test_relative_and_absolute_folder_give_the_same_names(tmp_path, monkeypatch):
    make_files(tmp_path, "in/a.jpg", "in/sub/b.jpg")
    monkeypatch.chdir(tmp_path)
    assert (
        get_names("in")
        == get_names(tmp_path / "in")
        == get_names("./in/")
        == ["a.jpg", "sub/b.jpg"]
    )
    monkeypatch.chdir(tmp_path / "in")
    assert get_names(".") == ["a.jpg", "sub/b.jpg"]


def test_other_files_are_passed_over_and_counted(tmp_path):
    make_files(tmp_path, "a.jpg", "x.txt", "y.txt", "sub/z.json", "README", "Thumbs.db")
    listing = list_images([tmp_path])
    assert [record.file_name for record in listing] == ["a.jpg"]
    assert listing.left_out.files == {".txt": 2, ".json": 1, "": 1, ".db": 1}
    assert listing.describe_left_out() == [
        "5 files skipped that are not images (2 .txt, 1 without suffix, 1 .db, 1 .json)"
    ]


def test_hidden_files_and_folders_are_skipped(tmp_path):
    make_files(tmp_path, "a.jpg", ".b.jpg", "._c.jpg", ".cache/d.jpg")
    listing = list_images([tmp_path])
    assert [record.file_name for record in listing] == ["a.jpg"]
    assert listing.describe_left_out() == []


def test_bad_folder_gives_a_record_for_every_image_file(tmp_path):
    kinds = write_bad_images(tmp_path)
    listing = list_images([tmp_path])
    names = {record.file_name for record in listing}
    assert names == {name for name, kind in kinds.items() if kind != "ignored"}
    assert listing.left_out.files.total() == list(kinds.values()).count("ignored")


def test_link_loops_end_and_inner_links_are_listed_once(tmp_path):
    make_files(tmp_path, "in/a/x.jpg", "in/b/y.jpg", "out/z.jpg")
    (tmp_path / "in/a/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/b/across").symlink_to(tmp_path / "in/a")
    (tmp_path / "in/a/ahead").symlink_to(tmp_path / "in/b")
    (tmp_path / "in/c").symlink_to(tmp_path / "out")
    (tmp_path / "in/d").symlink_to(tmp_path / "out")
    (tmp_path / "out/back").symlink_to(tmp_path / "out")
    assert get_names(tmp_path / "in") == ["a/x.jpg", "b/y.jpg", "c/z.jpg"]


def test_root_that_is_a_link_is_walked(tmp_path):
    make_files(tmp_path, "real/a.jpg", "real/sub/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert get_names(tmp_path / "link") == ["a.jpg", "sub/b.jpg"]


def test_dangling_link_is_listed_and_fails_later(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (record,) = list_images([tmp_path])
    assert (record.file_name, record.size_bytes) == ("gone.jpg", -1)


def test_name_that_is_not_utf8_becomes_valid_and_keeps_its_path(tmp_path):
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg"))).write_bytes(b"x")
    (record,) = list_images([tmp_path])
    assert record.file_name == "\\xff.jpg"
    assert record.path.read_bytes() == b"x"


def test_output_inside_the_input_is_not_entered(tmp_path):
    make_files(tmp_path, "a.jpg", "out/preview/p.jpg", "more/b.jpg")
    assert get_names(tmp_path, outputs=[tmp_path / "out"]) == ["a.jpg", "more/b.jpg"]


def test_listing_can_be_iterated_again_and_sees_new_files(tmp_path):
    make_files(tmp_path, "a.jpg", "x.txt")
    listing = list_images([tmp_path])
    assert len(list(listing)) == 1
    make_files(tmp_path, "b.jpg")
    assert len(list(listing)) == 2
    assert listing.left_out.files.total() == 1


def test_walk_holds_one_folder_and_not_the_tree(tmp_path):
    for folder in range(40):
        make_files(tmp_path, *(f"{folder:02d}/{index:03d}.jpg" for index in range(50)))
    listing = list_images([tmp_path])
    assert sum(1 for _ in listing) == 2000  # what is imported and cached at first is not held
    tracemalloc.start()
    assert sum(1 for _ in listing) == 2000
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2000 * 40


# Errors


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nowhere", "got .*nowhere, which is not there"),
        ("empty", "expected images .* below .*empty, found none$"),
        ("texts", r"below .*texts, found none; 2 files skipped that are not images \(2 \.txt\)"),
        ("texts/*.jpg", "expected files for the pattern"),
        ("texts/*", "for the pattern .*, found none; 2 files skipped"),
        ("texts/a.txt", "in the list .*, found none"),
        ("binary.txt", "one image path per line, got binary"),
        ("notjson.json", "expected JSON in .*notjson.json"),
        ("data.parquet", "expected a Parquet file, got .*data.parquet"),
        ("table.csv", r"expected images, .*\.parquet, got .*table\.csv"),
        ("photos.zip", r"got photos\.zip: unpack it and name the folder"),
        ("clip.MP4", r"got clip\.MP4: take pictures out of it first \(ffmpeg -i VIDEO"),
        ("a{9..1}.jpg", r"expected braces that count up, got \{9\.\.1\}"),
        ("a{0..9999}{0..9999}.jpg", "at most 1000000 names from the braces"),
        ("a{0..9999999}.jpg", "at most 1000000 names from the braces"),
        ("file.jpg/below", "not there"),
        ("nul\0", "cannot read"),
        ("n" * 300, "cannot read"),
    ],
)
def test_source_that_cannot_work_is_refused(tmp_path, source, reason):
    (tmp_path / "empty").mkdir()
    make_files(
        tmp_path, "file.jpg", "data.parquet", "notjson.json", "table.csv", "photos.zip", "clip.MP4"
    )
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("# nothing\n\n")
    (tmp_path / "texts/b.txt").write_text("")
    (tmp_path / "binary.txt").write_bytes(b"\x00\x01")
    with pytest.raises(SourceError, match=reason):
        list(list_images([f"{tmp_path}/{source}"]))


def test_no_source_is_refused():
    with pytest.raises(SourceError, match="at least one source"):
        list_images([])


def test_one_empty_source_among_several_is_refused(tmp_path):
    make_files(tmp_path, "a/x.jpg")
    (tmp_path / "b").mkdir()
    with pytest.raises(SourceError, match=r"below .*b, found none"):
        list(list_images([tmp_path / "a", tmp_path / "b"]))


def test_a_folder_that_the_disk_cannot_read_ends_the_listing(tmp_path, monkeypatch):
    make_files(tmp_path, "a.jpg", "broken/b.jpg")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("broken"):
            raise OSError(5, "Input/output error")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"cannot read the folder .*broken: Input/output error"):
        list(list_images([tmp_path]))


# Files, globs, lists


def test_file_named_explicitly_is_tried_whatever_its_suffix(tmp_path):
    make_files(tmp_path, "photo.xyz", "noise")
    assert get_names(tmp_path / "photo.xyz", tmp_path / "noise") == ["photo.xyz", "noise"]


def test_several_files_have_the_names_of_their_folder_walk(tmp_path):
    make_files(tmp_path, "a.jpg", "sub/b.jpg")
    assert get_names(tmp_path / "a.jpg", tmp_path / "sub/b.jpg") == get_names(tmp_path)


def test_glob_takes_image_files_relative_to_its_fixed_part(tmp_path):
    make_files(tmp_path, "x/1/a.jpg", "x/2/b.jpg", "x/2/c.txt", "x/2/deep/d.png", "x/img")
    assert get_names(f"{tmp_path}/x/*/*") == ["1/a.jpg", "2/b.jpg"]
    assert get_names(f"{tmp_path}/x/**/*.*") == ["1/a.jpg", "2/b.jpg", "2/deep/d.png"]
    assert get_names(f"{tmp_path}/x/2/*.[tj]*") == ["b.jpg"]
    assert get_names(f"{tmp_path}/x/2/*.txt") == ["c.txt"]


def test_glob_leaves_hidden_names_out_unless_it_names_them(tmp_path):
    make_files(tmp_path, "x/a.jpg", "x/.b.jpg", "x/.c/d.jpg", "x/e/.f/g.jpg", "x/e/h.jpg")
    assert get_names(f"{tmp_path}/x/**") == ["a.jpg", "e/h.jpg"]
    assert get_names(f"{tmp_path}/x/**/**/*.jpg") == ["a.jpg", "e/h.jpg"]
    assert get_names(f"{tmp_path}/x/.*/*.jpg") == [".c/d.jpg"]
    assert get_names(f"{tmp_path}/x/*/.f/*") == ["e/.f/g.jpg"]


def test_relative_glob_starts_in_the_current_folder(tmp_path, monkeypatch):
    make_files(tmp_path, "a.jpg", "in/b.jpg")
    monkeypatch.chdir(tmp_path)
    assert get_names("*.jpg") == ["a.jpg"]
    assert get_names("*/*.jpg") == ["in/b.jpg"]
    assert get_names("{in/b,a}.jpg") == ["in/b.jpg", "a.jpg"]


def test_braces_that_are_no_list_or_are_in_a_name_stay(tmp_path):
    make_files(tmp_path, "{x}.jpg", "a{1,2}.jpg", "a1.jpg")
    assert get_names(tmp_path / "{x}.jpg") == ["{x}.jpg"]
    assert get_names(tmp_path / "a{1,2}.jpg") == ["a{1,2}.jpg"]


def test_name_with_brackets_that_exists_is_a_file_not_a_glob(tmp_path):
    make_files(tmp_path, "a[1].jpg", "a1.jpg")
    assert get_names(tmp_path / "a[1].jpg") == ["a[1].jpg"]


@pytest.mark.parametrize("name", ["my photos [1]", "trip {2024}", "trip {a,b}", "q?x", "all *"])
def test_a_folder_that_exists_is_no_pattern(tmp_path, name):
    make_files(tmp_path, f"{name}/a.jpg", "my photos 1/b.jpg", "trip a/b.jpg", "qax/b.jpg")
    assert get_names(tmp_path / name) == ["a.jpg"]
    assert get_names(f"{tmp_path}/{name}/*.jpg") == ["a.jpg"]
    assert get_names(f"{tmp_path}/{name}/{{a,a}}.jpg") == ["a.jpg"]
    assert get_names(f"{tmp_path}/{name}/**") == ["a.jpg"]


def test_list_file_is_relative_to_itself_and_lists_each_file_once(tmp_path):
    make_files(tmp_path, "data/a.jpg", "data/sub/b.jpg", "else/c.jpg")
    text = "\ufeffa.jpg\r\n\n# comment\n./a.jpg\n sub/b.jpg \nsub/../a.jpg\n"
    text += f"{tmp_path}/else/c.jpg\nno.jpg\n"
    (tmp_path / "data/list.txt").write_text(text, encoding="utf-8")
    listing = list_images([tmp_path / "data/list.txt"])
    records = list(listing)
    outside = f"{tmp_path}/else/c.jpg"
    assert [r.file_name for r in records] == ["a.jpg", "sub/b.jpg", outside, "no.jpg"]
    assert [r.size_bytes for r in records] == [1, 1, 1, -1]
    assert listing.num_duplicates == 2


def test_a_dash_is_a_list_from_stdin(tmp_path, monkeypatch):
    make_files(tmp_path, "a.jpg", "sub/b.jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").write_text(f"a.jpg\n{tmp_path}/sub/b.jpg\nhttps://h.org/c.jpg\n")
    with (tmp_path / "names").open() as names:
        before = os.dup(0)
        os.dup2(names.fileno(), 0)
        try:
            listing = list_images(["-"])
        finally:
            os.dup2(before, 0)
    expected = ["a.jpg", "sub/b.jpg", "https://h.org/c.jpg"]
    for _ in range(2):
        assert [record.file_name for record in listing] == expected
    with (tmp_path / "names").open() as names:
        assert get_names(f"/dev/fd/{names.fileno()}") == expected


# Several sources


def test_equal_base_names_in_two_folders_do_not_collide(tmp_path):
    make_files(tmp_path, "one/x.jpg", "two/x.jpg", "two/deep/x.jpg")
    records = list(list_images([tmp_path / "one", tmp_path / "two"]))
    assert [r.file_name for r in records] == ["one/x.jpg", "two/deep/x.jpg", "two/x.jpg"]
    assert len({r.image_id for r in records}) == 3


def test_file_given_twice_is_listed_once(tmp_path):
    make_files(tmp_path, "a/x.jpg", "a/sub/y.jpg")
    listing = list_images([tmp_path / "a", tmp_path / "a/sub", tmp_path / "a/x.jpg"])
    assert [record.file_name for record in listing] == ["sub/y.jpg", "x.jpg"]
    assert listing.num_duplicates == 2


# COCO and LVIS


def test_coco_gives_ids_sizes_and_its_own_order(tmp_path):
    make_files(tmp_path, "b.jpg", "a.jpg")
    records = list(list_images([make_coco(tmp_path / "set.json", "b.jpg", "a.jpg", "gone.jpg")]))
    assert [(r.image_id, r.file_name) for r in records] == [
        (10, "b.jpg"), (11, "a.jpg"), (12, "gone.jpg"),
    ]  # fmt: skip
    assert (records[0].width, records[0].height, records[0].size_bytes) == (7, 5, 1)
    assert records[2].size_bytes == -1


@pytest.mark.parametrize(
    "folder",
    ["annotations", "annotations/images", "val2017", ".", "images", "images/val2017", "data"],
)
def test_coco_images_are_found_beside_the_file_and_where_its_name_says(tmp_path, folder):
    make_files(tmp_path / folder, "a.jpg")
    path = make_coco(tmp_path / "annotations/instances_val2017.json", "a.jpg")
    listing = list_images([path])
    (record,) = listing
    assert record.file_name == "a.jpg"
    assert record.path.read_bytes() == b"x"
    assert listing.image_roots == {
        str(path): str(tmp_path / folder) if folder != "." else str(tmp_path)
    }


def test_pictures_of_a_neighbour_are_never_taken_but_named(tmp_path):
    make_files(tmp_path, "other/a.jpg", "mine/photos/a.jpg")
    path = make_coco(tmp_path / "mine/set.json", "a.jpg")
    with pytest.raises(SourceError, match=r"--image-root; .*mine/photos has such a name"):
        list_images([path])
    (record,) = list_images([path], image_root=tmp_path / "other")
    assert record.path == tmp_path / "other/a.jpg"


def test_of_several_folders_that_fit_one_is_asked_for(tmp_path):
    make_files(tmp_path, *(f"{folder}{n}.jpg" for folder in ("", "images/") for n in range(4)))
    path = make_coco(tmp_path / "set.json", *(f"{n}.jpg" for n in range(4)))
    with pytest.raises(
        SourceError, match=r"may be those of .* or of .*images: both have such names"
    ):
        list_images([path])
    for n in range(3):
        (tmp_path / f"images/{n}.jpg").unlink()
    assert list_images([path]).image_roots[str(path)] == str(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("images/x/a.jpg", "images/x/b.jpg"),
        ("images\\x\\a.jpg", "images\\x\\b.jpg"),
        ("..\\..\\media\\4\\x\\a.jpg", "..\\..\\media\\4\\x\\b.jpg"),
        ("/data/upload/x/a.jpg", "/data/upload/x/b.jpg"),
        ("C:\\data\\x\\a.jpg", "C:/data/x/b.jpg"),
        ("file:///data/x/a.jpg", "file:///data/x/b.jpg"),
    ],
)
def test_coco_names_of_other_machines_are_found_without_their_first_parts(tmp_path, names):
    make_files(tmp_path, "images/x/a.jpg", "images/x/b.jpg")
    path = make_coco(tmp_path / "set.json", *names)
    for root in (None, tmp_path / "images"):
        records = list(list_images([path], image_root=root))
        assert [r.path.name for r in records] == ["a.jpg", "b.jpg"]
        assert all(r.size_bytes == 1 and r.path.parent == tmp_path / "images/x" for r in records)
        assert not any(".." in r.file_name or r.file_name.startswith("/") for r in records)


def test_first_parts_are_kept_where_names_would_be_equal_without_them(tmp_path):
    make_files(tmp_path, "1.jpg", "2.jpg")
    path = make_coco(tmp_path / "set.json", "left/1.jpg", "right/1.jpg", "left/2.jpg")
    with pytest.raises(SourceError, match="found none of the first 3"):
        list_images([path])


def test_coco_names_in_the_other_form_of_unicode_are_found(tmp_path):
    make_files(tmp_path, unicodedata.normalize("NFD", "für.jpg"))
    (record,) = list_images([make_coco(tmp_path / "set.json", "für.jpg")])
    assert (record.file_name, record.size_bytes) == ("für.jpg", 1)


def test_coco_names_never_lead_out_of_the_image_root(tmp_path):
    make_files(tmp_path, "secret.jpg", "set/a.jpg")
    names = (
        "a.jpg",
        "../secret.jpg",
        f"{tmp_path}/secret.jpg",
        "x/../../other.jpg",
        "\ud800",
        "a\0.jpg",
    )
    records = list(list_images([make_coco(tmp_path / "set/set.json", *names)]))
    assert [r.size_bytes for r in records] == [1, -1, -1, -1, -1, -1]
    assert all(Path(str(r.path)).is_relative_to(tmp_path / "set") for r in records)
    assert [r.file_name for r in records[-2:]] == ["?", "a\\x00.jpg"]


def test_image_root_is_obeyed_and_missing_images_are_listed(tmp_path):
    make_files(tmp_path, "far/away/a.jpg", "b.jpg")
    path = make_coco(tmp_path / "set.json", "a.jpg", "b.jpg")
    records = list(list_images([path], image_root=tmp_path / "far/away"))
    assert [r.size_bytes for r in records] == [1, -1]
    with pytest.raises(SourceError, match=r"image root to be a folder, got .*nowhere"):
        list_images([path], image_root=tmp_path / "nowhere")


def test_lvis_images_are_found_through_their_urls(tmp_path):
    make_files(tmp_path, "train2017/1.jpg", "val2017/2.jpg")
    urls = ["http://c.org/train2017/1.jpg", "http://c.org/val2017/2.jpg"]
    images = [{"id": i, "coco_url": url} for i, url in enumerate(urls)]
    path = write_json(tmp_path / "annotations/lvis.json", {"images": images})
    records = list(list_images([path]))
    assert [r.file_name for r in records] == ["train2017/1.jpg", "val2017/2.jpg"]
    assert all(r.size_bytes == 1 for r in records)


def test_lvis_images_in_one_flat_folder_are_found(tmp_path):
    make_files(tmp_path, "images/1.jpg", "images/2.jpg")
    urls = ["http://c.org/train2017/1.jpg", "http://c.org/val2017/2.jpg"]
    images = [{"id": i, "coco_url": url} for i, url in enumerate(urls)]
    path = write_json(tmp_path / "lvis.json", {"images": images})
    for root in (None, tmp_path / "images"):
        records = list(list_images([path], image_root=root))
        assert [r.file_name for r in records] == ["train2017/1.jpg", "val2017/2.jpg"]
        assert all(r.size_bytes == 1 for r in records)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([{"image_id": 1}], r"got a list in .*--detector boxes:FILE"),
        ({"annotations": []}, 'without an "images" list'),
        ({"images": {"1": {}}}, 'without an "images" list'),
        ({"images": []}, "expected images .*, found none"),
        ({"images": [{"id": 1}]}, r"file_name or coco_url in images\[0\]"),
        ({"images": ["a.jpg"]}, r"file_name or coco_url in images\[0\]"),
        ({"images": [{"file_name": "a.jpg"}]}, "number or a text as id .* got null"),
        ({"images": [{"id": [7], "file_name": "a.jpg"}]}, r"number or a text as id .* got \[7\]"),
        ({"images": [{"id": 1 << 63, "file_name": "a.jpg"}]}, "a whole number or a text as id"),
        ({"images": [{"id": 1, "file_name": "no.jpg"}]}, r"such as no\.jpg.*--image-root"),
        (
            {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]},
            r"different image ids in .*, got 1 for a\.jpg and for b\.jpg",
        ),
    ],
)
def test_json_of_the_wrong_shape_is_refused(tmp_path, data, reason):
    make_files(tmp_path, "a.jpg", "b.jpg")
    path = write_json(tmp_path / "set.json", data)
    with pytest.raises(SourceError, match=reason):
        list(list_images([path]))


def test_ids_that_are_texts_or_longer_than_53_bits_are_taken(tmp_path, caplog):
    ids = {"a.jpg": "5968c0f9-23d2-11e8", "b.jpg": "7", "c.jpg": 8.0, "d.jpg": 1 << 60}
    make_files(tmp_path, *ids)
    images = [{"id": image_id, "file_name": name} for name, image_id in ids.items()]
    records = list(list_images([write_json(tmp_path / "set.json", {"images": images})]))
    first, *others = (record.image_id for record in records)
    assert (first, others) == (to_id("5968c0f9-23d2-11e8"), [7, 8, 1 << 60])
    assert "1 image ids of" in caplog.text


def test_two_json_files_with_the_same_ids_are_refused(tmp_path):
    make_files(tmp_path, "one/a.jpg", "two/b.jpg")
    first = make_coco(tmp_path / "one/set.json", "a.jpg")
    second = make_coco(tmp_path / "two/set.json", "b.jpg")
    with pytest.raises(SourceError, match=r"got 10 for one/a\.jpg and for two/b\.jpg"):
        list(list_images([first, second]))


def test_outputs_of_earlier_runs_below_the_source_are_passed_over(tmp_path):
    for name in ("a.jpg", "old/preview/001_a.jpg", "photos/parts/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "old" / "parts").mkdir()
    (tmp_path / "old" / "run.json").write_text("{}")
    names = [image.file_name for image in list_images([str(tmp_path)])]
    assert names == ["a.jpg", "photos/parts/b.jpg"]


def test_globs_do_not_follow_links_that_lead_back(tmp_path):
    make_files(tmp_path / "in", "a/x.jpg")
    make_files(tmp_path / "outside", "y.jpg")
    (tmp_path / "in" / "l").symlink_to(".")
    (tmp_path / "in" / "m").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "back").symlink_to(tmp_path / "in")
    found = [image.file_name for image in list_images([str(tmp_path / "in" / "**" / "*.jpg")])]
    assert sorted(found) == ["a/x.jpg", "m/y.jpg"]
