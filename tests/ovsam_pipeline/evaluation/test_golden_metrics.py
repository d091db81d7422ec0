"""All engines give the recorded numbers of pycocotools and lvis-api."""

import gzip
import json

import numpy as np
import pytest
from build_tables import build_predictions, build_truth
from locations import TESTS

from ovsam_pipeline.evaluation.scoring.average_precision import score_detections

GOLDEN = TESTS / "ovsam_pipeline" / "evaluation" / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
CASES = [(style, case) for style in ("coco", "lvis") for case in EXPECTED[style]]


def load(name):
    return json.loads(gzip.decompress((GOLDEN / name).read_bytes()))


@pytest.mark.parametrize("engine", ["fast", "reference", "faster-coco-eval"])
@pytest.mark.parametrize(("style", "case"), CASES)
def test_engines_give_the_recorded_numbers(style, case, engine) -> None:
    truth = build_truth(load(f"{style}_gt.json.gz"), is_lvis=style == "lvis")
    results = load(f"{style}_dt.json.gz")
    if case.endswith("removed"):
        results = [{k: v for k, v in item.items() if k != "bbox"} for item in results]
    scores = score_detections(
        truth,
        build_predictions(results, truth),
        "bbox" if case == "bbox" else "segm",
        engine=engine,
        class_agnostic=case.endswith("agnostic"),
    )
    expected = dict(EXPECTED[style][case])
    by_category = expected.pop("per_category_AP", {})
    assert scores.metrics == pytest.approx(expected, abs=1e-9)
    for key, value in by_category.items():
        k = np.searchsorted(truth.categories.ids, int(key))
        assert scores.per_category["AP"][k] == pytest.approx(value, abs=1e-9)
