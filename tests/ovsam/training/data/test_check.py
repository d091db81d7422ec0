"""What is wrong with training data is counted, named, and refused past the budget."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ovsam.errors import ConfigError
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.data.check import DataReport, check_data, open_checked_data
from ovsam.training.data.mixed import DataSettings, open_data

pytest.importorskip("pycocotools")
WORDS = Vocabulary(["dog", "cat", "zebra"], base=[0, 2], novel=[1])
SQUARE = [[5, 5, 20, 5, 20, 20, 5, 20]]
NOTHING = {"size": [40, 60], "counts": [2400]}


def write_set(folder: Path, rows: list[dict], images: int = 4) -> DataSettings:
    """Pictures 0.png, 1.png, ... and a COCO file of the given objects."""
    for number in range(images):
        assert cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 60, 3), 9, np.uint8))
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in range(images)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("dog", "cat", "dgo"))],
        "annotations": [
            {"id": i, "category_id": 0, "bbox": [5, 5, 15, 15], "segmentation": SQUARE} | row
            for i, row in enumerate(rows)
        ],
    }
    path = folder / "set.json"
    path.write_text(json.dumps(content))
    return DataSettings(kind="instances", path=str(path), images=str(folder))


def check(entry: DataSettings, num_decoded: int = -1) -> DataReport:
    return check_data(open_data([entry], WORDS), num_decoded)


def finding(report: DataReport, words: str):
    found = [f for f in report.findings if words in f.what]
    assert len(found) == 1, report.lines()
    return found[0]


def test_clean_data_has_nothing_wrong(tmp_path) -> None:
    entry = write_set(tmp_path, [{"image_id": i} for i in range(4)])
    report = check(entry)
    assert report.lines() == [
        "4 images, 4 of them decoded, 2 training classes",
        "note: 1 of 2 training classes have no object in all sets together: zebra",
    ]
    report.refuse_past(0)


def test_a_category_without_objects_teaches_no_class(tmp_path) -> None:
    report = check(write_set(tmp_path, [{"image_id": i, "category_id": 1} for i in range(4)]))
    found = finding(report, "have no object")
    assert (found.count, found.examples, found.is_bad) == (2, ("dog", "zebra"), False)


def test_missing_and_unreadable_pictures_are_counted_apart(tmp_path) -> None:
    entry = write_set(tmp_path, [{"image_id": i} for i in range(4)])
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").write_bytes(b"no picture")
    report = check(entry)
    missing, unreadable = finding(report, "have no file"), finding(report, "cannot be read")
    assert (missing.count, missing.out_of, missing.examples) == (1, 4, ("1.png",))
    assert (unreadable.count, unreadable.out_of, unreadable.examples) == (1, 4, ("3.png",))
    assert report.lines()[0].startswith("4 images, 3 of them decoded")
    report.refuse_past(0.25)
    with pytest.raises(ConfigError, match=r"1 of 4 images have no file .*1\.png.*25\.00%.*10\.00%"):
        report.refuse_past(0.1)


def test_some_pictures_are_decoded_but_every_file_is_looked_for(tmp_path) -> None:
    entry = write_set(tmp_path, [{"image_id": i} for i in range(9)], images=9)
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").write_bytes(b"no picture")
    report = check(entry, num_decoded=2)  # the first and the last
    assert report.num_decoded == 2
    assert finding(report, "have no file").count == 1
    assert not [f for f in report.findings if "cannot be read" in f.what]


def test_empty_masks_are_counted_among_masks(tmp_path) -> None:
    rows = [{"image_id": 0}, {"image_id": 2, "segmentation": NOTHING}, {"image_id": 2}]
    empty = finding(check(write_set(tmp_path, rows)), "masks are empty")
    assert (empty.count, empty.out_of, empty.examples) == (1, 3, ("2.png",))


@pytest.mark.parametrize(
    "box", [[5, 5, 0, 9], [60, 5, 9, 9], [5, -9, 9, 9], [5, 5, -3, 9]], ids=str
)
def test_boxes_without_area_or_outside_are_counted(tmp_path, box) -> None:
    entry = write_set(tmp_path, [{"image_id": 0}, {"image_id": 1, "bbox": box}])
    found = finding(check(entry), "boxes have no area")
    assert (found.count, found.out_of, found.examples) == (1, 2, ("1.png",))


def test_images_without_objects_are_told_but_not_bad(tmp_path) -> None:
    report = check(write_set(tmp_path, [{"image_id": 0}]))
    found = finding(report, "have no objects")
    assert (found.count, found.out_of, found.examples) == (3, 4, ("1.png", "2.png", "3.png"))
    report.refuse_past(0)


def test_pictures_of_another_size_are_counted(tmp_path) -> None:
    entry = write_set(tmp_path, [{"image_id": 0}, {"image_id": 1}])
    assert cv2.imwrite(str(tmp_path / "1.png"), np.zeros((60, 40, 3), np.uint8))
    found = finding(check(entry), "another size")
    assert (found.count, found.examples) == (1, ("1.png",))


def test_unknown_categories_are_refused_and_novel_ones_told(tmp_path) -> None:
    rows = [{"image_id": 0, "category_id": key} for key in (0, 1, 2, 2)]
    entry = write_set(tmp_path, rows)
    report = check(entry)
    unknown, hidden = finding(report, "not a class of"), finding(report, "keeps out of training")
    assert (unknown.count, unknown.out_of) == (2, 4)
    assert unknown.examples == ("dgo (did you mean 'dog'?)",)
    assert (hidden.count, hidden.examples, hidden.is_bad) == (1, ("cat",), False)
    with pytest.raises(ConfigError, match="2 of 4 objects have a category that is not a class"):
        report.refuse_past(0.01)


def test_categories_to_hide_are_told_only(tmp_path) -> None:
    entry = write_set(tmp_path, [{"image_id": 0, "category_id": 2}])
    hide = DataSettings(
        kind="instances", path=entry.path, images=entry.images, other_categories="hide"
    )
    check(hide).refuse_past(0)


def test_masks_alone_need_no_classes(tmp_path) -> None:
    entry = write_set(tmp_path, [{"image_id": 0, "category_id": 2}])
    report = check_data(open_data([entry], WORDS), -1, with_labels=False)
    report.refuse_past(0)
    assert not [f for f in report.findings if "class" in f.what]


def test_an_opened_training_logs_what_was_found(tmp_path, caplog) -> None:
    entry = write_set(tmp_path, [{"image_id": 0}])
    caplog.set_level("INFO", "ovsam.training")
    assert len(open_checked_data([entry], WORDS, 0.01, 10, True).parts) == 1
    assert "3 of 4 images have no objects" in caplog.text
    (tmp_path / "0.png").unlink()
    with pytest.raises(ConfigError, match="1 of 1 images have no file"):
        open_checked_data([entry], WORDS, 0.01, 10, True)
