"""Small hard data sets: our numbers are those of pycocotools and lvis-api."""

import numpy as np
import pytest
from build_tables import build_predictions, build_truth
from random_detections import make_case

from ovsam_pipeline.evaluation.scoring.average_precision import score_detections


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("style", ["coco", "coco agnostic", "lvis"])
def test_our_engine_equals_the_reference_tools(style, seed) -> None:
    data, results = make_case(seed)
    truth = build_truth(data, is_lvis=style == "lvis")
    for kind, keys in (("bbox", ()), ("segm", ()), ("segm", ("bbox",))):
        items = [{k: v for k, v in item.items() if k not in keys} for item in results]
        predictions = build_predictions(items, truth)
        ours, theirs = (
            score_detections(
                truth, predictions, kind, engine=engine, class_agnostic=style.endswith("agnostic")
            )
            for engine in ("fast", "reference")
        )
        np.testing.assert_allclose(ours.curves.precision, theirs.curves.precision, atol=1e-12)
        np.testing.assert_allclose(ours.curves.recall, theirs.curves.recall, atol=1e-12)
        assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-12)
