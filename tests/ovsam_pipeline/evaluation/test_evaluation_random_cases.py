"""Small hard data sets: our numbers are those of pycocotools and lvis-api."""

import numpy as np
import pytest
from build_tables import build_predictions, build_truth

from ovsam_pipeline.evaluation.masks import to_rle
from ovsam_pipeline.evaluation.scoring.detection import score_detections

SIZE = 120


def polygon(box):
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x + w / 2, y + h + 3, x, y + h]]


def make_case(seed):
    """Crowds, ties, boxes without area, areas on the edges of the ranges, more than the limits."""
    rng = np.random.default_rng(seed)
    images, truth, results = [], [], []
    for image in range(1, 6):
        lists = [rng.choice(4, 2, replace=False) + 1 for _ in range(2)]
        images.append(
            {"id": image, "height": SIZE, "width": SIZE}
            | {"neg_category_ids": lists[0].tolist()}
            | {"not_exhaustive_category_ids": lists[1].tolist()}
        )
        for _ in range(rng.integers(0, 9)):
            box = [*rng.integers(-3, 60, 2).tolist(), *rng.choice([0, 8, 32, 33, 96], 2).tolist()]
            item = {"id": len(truth) + 1, "image_id": image, "category_id": rng.integers(1, 4)}
            item["category_id"] = int(item["category_id"])
            item |= {"bbox": box, "area": float(box[2] * box[3]), "ignore": int(rng.random() < 0.2)}
            item |= {"iscrowd": int(rng.random() < 0.2), "segmentation": polygon(box)}
            if rng.random() < 0.5 or item["iscrowd"]:
                item["segmentation"] = to_rle(item["segmentation"], SIZE, SIZE)
                item["segmentation"]["counts"] = item["segmentation"]["counts"].decode()
            truth.append(item)
        for _ in range(400 if image == 2 else int(rng.integers(0, 40))):
            near = truth[rng.integers(len(truth))] if truth else {"bbox": [1, 1, 8, 8]}
            box = (np.array(near["bbox"]) + rng.choice([0, 0, 0, 1, 4], 4)).tolist()
            mask = to_rle(polygon(box), SIZE, SIZE)
            results.append(
                {"image_id": image, "category_id": int(rng.integers(1, 5)), "bbox": box}
                | {"score": float(rng.integers(0, 6)) / 5}
                | {"segmentation": {"size": mask["size"], "counts": mask["counts"].decode()}}
            )
    kinds = [{"id": k, "name": f"kind {k}", "frequency": "rcff"[k - 1]} for k in range(1, 5)]
    return {"images": images, "annotations": truth, "categories": kinds}, results


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
