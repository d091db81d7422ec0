"""Small hard data sets and results, drawn from a seed."""

import numpy as np

from ovsam.masks import to_rle

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
