import pytest

from ovsam.coco_fields import to_id
from ovsam_pipeline.detectors.image_match import ImageIndex, MatchReport
from ovsam_pipeline.errors import DatasetError


def make_index(*images):
    """Images given as names, ids, or pairs of both."""
    index = ImageIndex()
    for image in images:
        pair = (None, image) if isinstance(image, str) else (image, None)
        index.add(*(image if isinstance(image, tuple) else pair))
    return index


@pytest.mark.parametrize(
    ("known", "name", "rule"),
    [
        ("a.jpg", "a.jpg", "name"),
        ("sub/a.jpg", "sub\\a.jpg", "name"),
        ("./a.jpg", "a.jpg", "name"),
        ("fu\u0308r.jpg", "f\u00fcr.jpg", "name"),
        ("val2017/1.jpg", "1.jpg", "end of the name"),
        ("1.jpg", "deep/val2017/1.jpg", "end of the name"),
        ("/data/upload/1/a.jpg", "a.jpg", "end of the name"),
        ("/data/upload/1/a.jpg", "photos/a.jpg", "end of the name"),
        ("C:\\pictures\\a.jpg", "photos/a.jpg", "end of the name"),
        ("..\\..\\media\\upload\\4\\a.jpg", "photos/a.jpg", "end of the name"),
        ("file:///home/x/a%20b.jpg", "a b.jpg", "end of the name"),
        ("https://host/x/a.jpg?key=1", "photos/a.jpg", "end of the name"),
        ("/data/local-files/?d=shots/a.jpg", "shots/a.jpg", "end of the name"),
        ("photo_1", "deep/photo_1.jpg", "name without its suffix"),
        ("photo_1.JPG", "photo_1", "name without its suffix"),
    ],
)
def test_names_are_found_whoever_wrote_them(known, name, rule):
    assert make_index("other.jpg", known).find(None, name) == (1, rule)


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ("cam1/frame.jpg", "cam2/frame.jpg"),
        ("aa.jpg", "a.jpg"),
        ("x/aa.jpg", "a.jpg"),
        ("a.jpg", "a.png"),
        ("photo.1", "photo.jpg"),
        ("A.jpg", "a.jpg"),
    ],
)
def test_other_images_are_not_taken(known, name):
    assert make_index(known).find(None, name) == (None, "unknown")


def test_of_several_names_that_fit_the_longest_end_counts_or_none():
    index = make_index("x/a.jpg", "y/a.jpg", "z/b.jpg")
    assert index.find(None, "deep/y/a.jpg") == (1, "end of the name")
    assert index.find(None, "a.jpg") == (None, "several fit")
    assert index.find(None, "a") == (None, "several fit")
    assert index.find(None, "b") == (2, "name without its suffix")


def test_an_id_counts_where_a_side_has_no_name():
    index = make_index((1, "a.jpg"), (2, "b.jpg"), 7)
    assert index.find(2, None) == (1, "id")
    assert index.find(2, "a.jpg") == (0, "name")
    assert index.find(2, "c.jpg") == (None, "unknown")
    assert index.find(7, "c.jpg") == (2, "id")
    assert index.find(3, None) == (None, "unknown")


def test_one_name_of_two_images_is_told_apart_by_the_id():
    index = make_index((1, "a.jpg"), (2, "a.jpg"), (3, "x/b.jpg"), (4, "y/b.jpg"))
    assert index.find(2, "a.jpg") == (1, "name")
    assert index.find(None, "a.jpg") == (None, "several fit")
    assert index.find(4, "b.jpg") == (3, "end of the name")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0003", (0, "name without its suffix")),
        ("3", (2, "id")),
        ("0004", (None, "unknown")),
        ("002", (1, "id")),
        ("0002.jpg", (2, "name")),
    ],
)
def test_an_id_that_is_text_is_a_name_or_a_number(text, found):
    index = make_index((1, "0003.jpg"), (2, "0001.jpg"), (3, "0002.jpg"))
    assert index.find(text, None) == found


def test_ids_of_camera_traps_are_texts():
    index = make_index((5, "a.jpg"))
    index.add(to_id("5968c0f9-23d2"), "c.jpg")
    assert index.find("5968c0f9-23d2", None) == (1, "id")


def test_numbers_in_names_stand_for_ids_where_a_side_has_nothing_else():
    index = make_index(139, 0)
    assert index.find(None, "val/COCO_val2014_000000000139.jpg") == (0, "number in the name")
    assert index.find(None, "139.png") == (0, "number in the name")
    assert index.find(None, "photo.png") == (None, "unknown")
    assert make_index((139, "a.jpg")).find(None, "139.jpg") == (None, "unknown")
    names = make_index((1, "0003.jpg"), (2, "0001.jpg"))
    found, report = names.match([(3, None), (9, None)], names.find_by_number)
    assert (found, report.to_dict()["by"]) == ([0, None], {"number in the name": 1, "unknown": 1})


def test_a_report_counts_by_rule_and_gives_examples():
    index = make_index((1, "a.jpg"), (2, "x/b.jpg"), (3, "x/c.jpg"), (4, "y/c.jpg"))
    queries = [(None, "a.jpg"), (None, "b.jpg"), (None, "c.jpg"), (None, "d.jpg")]
    found, report = index.match(queries)
    assert found == [0, 1, None, None]
    assert (report.total, report.matched) == (4, 2)
    assert report.describe() == (
        "2 of 4 images found: 1 by name, 1 by end of the name (b.jpg is x/b.jpg), "
        "1 several fit (c.jpg may be x/c.jpg or y/c.jpg), 1 unknown"
    )
    assert MatchReport.from_dict(report.to_dict()) == report
    assert not report.is_plain


def test_keys_in_addresses_are_not_shown():
    index = make_index("https://host/x/a.jpg?key=secret", "b.jpg")
    _, report = index.match([(None, "p/a.jpg")])
    assert report.examples == {"end of the name": "p/a.jpg is https://host/x/a.jpg"}
    assert "secret" not in index.describe()


def test_two_images_for_one_name_are_an_error():
    index = make_index("frame.jpg")
    with pytest.raises(DatasetError, match=r"got cam0/frame\.jpg and cam1/frame\.jpg for the same"):
        index.match([(None, "cam0/frame.jpg"), (None, "cam1/frame.jpg")])
    assert index.match([(None, "frame.jpg")] * 2)[0] == [0, 0]
