import json

import numpy as np
import pytest

from ovsam_pipeline.evaluation.reading import results_file as module
from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.reading.results_file import parse_results
from ovsam_pipeline.evaluation.reading.truth import read_ground_truth

MASK = {"size": [40, 60], "counts": "m34T10000000000000000000000000000000ka1"}
DAMAGED = {"size": [40, 60], "counts": "m34"}
HUGE = {"size": [1 << 21, 60], "counts": "m34"}
COLUMNS = ("image_index", "category_index", "scores", "boxes_xywh", "rows", "prompt_ids")


def make_result(**more):
    fields = {"image_id": 7, "category_id": 9, "bbox": [1, 2, 10.25, 20], "score": 0.5}
    return {**fields, "segmentation": MASK, **more}


def refuse(text, separator):
    raise ValueError


def read(tmp_path, text):
    truth = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": 40, "width": 60} for n in (7, 70)],
        "annotations": [],
        "categories": [{"id": 9, "name": "cup"}, {"id": 2, "name": "dog"}],
    }
    for name, content in (("truth", json.dumps(truth)), ("results", text)):
        (tmp_path / f"{name}.json").write_text(content)
    truth = read_ground_truth(tmp_path / "truth.json")
    _, found = read_predictions(tmp_path / "results.json", truth)
    columns = {name: getattr(found, name).tolist() for name in COLUMNS}
    columns["masks"] = found.segments.read_many(found.segment_rows)
    return columns, found.problems.describe()


CASES = {
    "plain": [make_result(image_id=n) for n in (70, 7, 70, 7)],
    "ids of annotations": [make_result(annotation_id=n) for n in (5, 6, 7)],
    "prompts": [make_result(prompt_id=n) for n in (5, 6, 7)],
    "more fields": [make_result(area=7, iscrowd=0, attributes={"a": [{"b": 1}, {"c": 2}]})] * 3,
    "whole scores": [make_result(score=1), make_result(score=0.25), make_result(score=0)],
    "no boxes": [make_result(bbox=None)] * 4,
    "no masks": [make_result(segmentation=None)] * 4,
    "a box is missing": [make_result(), make_result(bbox=None), make_result()],
    "a box of three": [make_result(), make_result(bbox=[1, 2, 3]), make_result()],
    "a mask is missing": [make_result(), make_result(segmentation=None), make_result()],
    "damaged masks": [make_result(), make_result(segmentation=DAMAGED), make_result()] * 2,
    "masks of no size": [make_result(), make_result(segmentation=HUGE), make_result()],
    "runs": [make_result(segmentation={"size": [40, 60], "counts": [100, 2300]})] * 3,
    "polygons": [make_result(segmentation=[[1, 1, 20, 1, 20, 20]])] * 3,
    "ids as text": [make_result(image_id="7"), make_result(image_id=7.0), make_result()],
    "scores that are none": [make_result(score=float("nan")), make_result(), make_result()],
    "unknown images": [make_result(image_id=8), make_result(), make_result()],
    "a separator in a name": [make_result(), make_result(name="}, {"), make_result()],
}


@pytest.mark.parametrize("indent", [None, 1], ids=["lines", "indented"])
@pytest.mark.parametrize("results", CASES.values(), ids=CASES)
def test_blocks_give_what_results_one_by_one_give(tmp_path, monkeypatch, results, indent) -> None:
    text = json.dumps(results, indent=indent)
    found = read(tmp_path, text)
    monkeypatch.setattr(module, "parse_results", refuse)
    assert found == read(tmp_path, text)


def test_plain_results_become_columns() -> None:
    text = json.dumps([make_result(), make_result(image_id=70, prompt_id=3)])[1:-1]
    block = parse_results(text, "}, {")
    assert block.scores.tolist() == [0.5, 0.5]
    assert block.image_ids.tolist() == [7, 70]
    assert block.prompt_ids.tolist() == [-1, 3]
    assert block.boxes_xywh.tolist() == [[1, 2, 10.25, 20]] * 2
    assert block.masks.sizes_hw.tolist() == [[40, 60]] * 2
    assert block.masks.lengths.tolist() == [len(MASK["counts"])] * 2
    assert block.masks.codes.tobytes().decode() == 2 * MASK["counts"]


@pytest.mark.parametrize(
    "result",
    [
        {"image_id": "7"},
        {"image_id": None},
        {"image_id": 1 << 64},
        {"category_id": 2.5},
        {"score": "high"},
        {"bbox": [1, 2, None, 4]},
        {"bbox": [1, 2, 3]},
        {"segmentation": [[1, 2, 3, 4, 5, 6]]},
        {"segmentation": {"size": [40], "counts": "m"}},
        {"segmentation": {"size": [40, 60], "counts": [1, 2]}},
        {"segmentation": {"size": [40, 60]}},
    ],
    ids=str,
)
def test_results_that_are_not_plain_are_refused(result) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - two libraries, whose words do not matter
        parse_results(json.dumps([make_result(**result), make_result()])[1:-1], "}, {")


def test_results_of_many_blocks_keep_their_order(tmp_path, monkeypatch) -> None:
    scores = np.random.default_rng(0).random(12_000)
    results = [make_result(score=float(s), image_id=70 if s > 0.5 else 7) for s in scores]
    results[5_000]["image_id"] = "70"
    found = read(tmp_path, json.dumps(results))
    assert sorted(found[0]["rows"]) == list(range(12_000))
    monkeypatch.setattr(module, "parse_results", refuse)
    assert found == read(tmp_path, json.dumps(results))
