"""Small COCO files: a ground truth of two images and results for it."""

import json

from ovsam_pipeline.evaluation.reading.predictions import read_predictions
from ovsam_pipeline.evaluation.reading.truth import read_ground_truth

# Rows 5 to 8 and columns 3 to 19 of an image of 60 x 40 pixels.
MASK = "m34T10000000000000000000000000000000ka1"
RLE = {"size": [40, 60], "counts": [100, 20, 2280]}


def make_truth(**more):
    return {
        "images": [
            {"id": 70, "file_name": "b.jpg", "height": 40, "width": 60},
            {"id": 7, "file_name": "sub/a.jpg", "height": 40, "width": 60},
        ],
        "annotations": [make_annotation(5, 70), make_annotation(3, 7), make_annotation(4, 7)],
        "categories": [{"id": 9, "name": "cup"}, {"id": 2, "name": "dog", "split": "novel"}],
        **more,
    }


def make_annotation(number, image_id, **more):
    fields = {"category_id": 9, "bbox": [1, 2, 10, 20], "area": 150, "segmentation": RLE}
    return {"id": number, "image_id": image_id, **fields, **more}


def make_result(**more):
    fields = {"image_id": 7, "category_id": 9, "bbox": [1, 2, 10, 20], "score": 0.5}
    return {**fields, "segmentation": {"size": [40, 60], "counts": MASK}, **more}


def read_truth(tmp_path, data=None, **options):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(make_truth() if data is None else data))
    return read_ground_truth(path, **options)


def read_results(tmp_path, results, data=None):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    return read_predictions(path, read_truth(tmp_path, data))[1]
