"""A small data set with everything that is written about it: for tests of files and pictures."""

from dataclasses import replace

import numpy as np
from build_tables import build_predictions, build_truth

from ovsam_pipeline.evaluation.scoring.average_precision import score_detections
from ovsam_pipeline.evaluation.scoring.instances import measure_instances

CAT, DOG, BIRD = 3, 7, 9
SIDE = 100


def box_ring(left, top, width, height):
    right, bottom = left + width, top + height
    return [[left, top, right, top, right, bottom, left, bottom]]


def item_of(image_id, category_id, box, **more):
    return {
        "image_id": image_id, "category_id": category_id, "bbox": box, "area": box[2] * box[3],
        "segmentation": box_ring(*box), **more,
    }  # fmt: skip


def make_truth():
    data = {
        "images": [
            {"id": i, "height": SIDE, "width": SIDE, "file_name": f"{i}.png"} for i in (10, 20)
        ],
        "categories": [
            {"id": kind, "name": name}
            for kind, name in ((CAT, "cat"), (DOG, "dog, small"), (BIRD, "bird"))
        ],
        "annotations": [
            item_of(10, CAT, [10, 10, 20, 20], id=1),
            item_of(10, DOG, [50, 50, 40, 40], id=2),
            item_of(20, CAT, [0, 0, 10, 10], id=3),
        ],
    }  # fmt: skip
    return build_truth(data, splits=("base", "novel", None))


def make_predictions(truth):
    """Annotation 1: exact and right. 2: exact, named cat. 3: upper half only, right."""
    results = [
        item_of(10, CAT, [10, 10, 20, 20], score=0.9),
        item_of(10, CAT, [50, 50, 40, 40], score=0.8),
        item_of(20, CAT, [0, 0, 10, 5], score=0.7),
    ]
    predictions = build_predictions(results, truth)
    return replace(predictions, prompt_ids=np.array([1, 2, 3]))


def make_example():
    """Return truth, predictions, scores of masks and of instances."""
    truth = make_truth()
    predictions = make_predictions(truth)
    scores = score_detections(truth, predictions, "segm")
    return truth, predictions, scores, measure_instances(truth, predictions)
