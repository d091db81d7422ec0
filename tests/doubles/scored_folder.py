"""The folder of an evaluation, made without a model or a command: for pages of results."""

import cv2
import numpy as np
from evaluation_example import SIDE, make_example

from ovsam_pipeline.evaluation.reporting.cases import choose_worst
from ovsam_pipeline.evaluation.reporting.examples import write_examples
from ovsam_pipeline.evaluation.reporting.files import (
    write_curves,
    write_metrics,
    write_per_class,
)


def make_scores(folder, changed=None):
    """Write an evaluation of two grey pictures and return its folder.

    `changed` gets (truth, predictions) and returns others, e.g. with hostile names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth, predictions, scores, instances = make_example()
    if changed is not None:
        truth, predictions = changed(truth, predictions)
    images = [folder.parent / "10.png", folder.parent / "20.png"]
    for number, path in enumerate(images):
        cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), 90 + 60 * number, np.uint8))
    detection = {"segm": scores}
    write_per_class(folder / "per_class.csv", truth, detection, instances)
    write_curves(folder / "curves.parquet", truth, detection)
    worst = choose_worst(truth, predictions, instances, None, 20)
    path = folder / "examples.json"
    write_examples(path, truth, predictions, instances, worst, images.__getitem__)
    metrics = {
        "dataset": {"name": "two pictures", "style": "coco", "images": 2},
        "protocol": {"predictions": "labels", "made_with": {"model": "nano"}},
        "counts": {"images": 2, "annotations": 3, "predictions": 3},
        "metrics": {"instances": instances.metrics, "segm": scores.metrics},
        "problems": [],
        "seconds": {"segm": 0.1},
    }
    write_metrics(folder / "metrics.json", metrics)
    return folder
