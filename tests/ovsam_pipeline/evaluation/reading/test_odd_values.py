"""Any value in any field of truth and results: it is read, counted, or one sentence."""

import json
import math

import pytest
from coco_files import make_annotation, make_result, make_truth

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.reading.truth import read_ground_truth

VALUES = [
    None, True, False, "", "x", "7", "\ud800", [], [1, 2], [[1], [2]], [None] * 4, {}, {"a": [1]},
    0, -1, 7.5, 1e308, -1e308, 2**63, 2**64, -(2**70), 10**400, math.nan, math.inf,
]  # fmt: skip
FIELDS = {
    "images": ("id", "file_name", "width", "height", "neg_category_ids"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
    "categories": ("id", "name", "frequency", "split", "synonyms"),
    "results": ("image_id", "category_id", "score", "bbox", "segmentation", "annotation_id"),
}
CASES = [(part, name) for part, names in FIELDS.items() for name in names]
NESTED = [
    {"bbox": [0, 0, 10**400, 5]},
    {"bbox": [1, 2, 3, "4"]},
    {"segmentation": [[1, 2, 3, 4, 5, 10**400]]},
    {"segmentation": [[1, 2, 3, 4, 1e12, 10**30]]},
    {"segmentation": [[1, 2, 3, 4, True, None]]},
    {"segmentation": {"size": [40, 60], "counts": [2**70, 1]}},
    {"segmentation": {"size": [2**40, 2**40], "counts": "0"}},
    {"segmentation": {"size": [True, 60], "counts": 7}},
]


def read(tmp_path, truth, results):
    """Write and read both files; a DatasetError is as good as an answer."""
    for name, data in (("truth", truth), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    try:
        found = read_ground_truth(tmp_path / "truth.json")
        _, predictions = read_predictions(tmp_path / "results.json", found)
    except DatasetError as error:
        assert len(str(error)) < 600  # noqa: PT017 - both endings are right
        return
    lines = [*found.problems.describe(), *predictions.problems.describe()]
    "\n".join(lines).encode()
    json.dumps([found.file_names, found.categories.names], ensure_ascii=False).encode()


@pytest.mark.parametrize(("part", "name"), CASES, ids=str)
def test_a_field_of_any_value_is_no_traceback(tmp_path, part, name) -> None:
    for value in VALUES:
        truth, results = make_truth(), [make_result(), make_result(image_id=70)]
        rows = results if part == "results" else truth[part]
        rows[-1][name] = value
        read(tmp_path, truth, results)
        for row in rows:
            row[name] = value
        read(tmp_path, truth, results)


@pytest.mark.parametrize("more", NESTED, ids=range(len(NESTED)))
def test_an_odd_value_within_a_box_or_a_mask_is_no_traceback(tmp_path, more) -> None:
    annotations = [make_annotation(1, 7), make_annotation(2, 7, **more)]
    read(tmp_path, make_truth(annotations=annotations), [make_result(), make_result(**more)])
