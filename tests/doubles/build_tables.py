"""Ground truth and predictions from dictionaries in memory, as the readers make them."""

import numpy as np
from pycocotools import mask as coco_mask

from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore
from ovsam_pipeline.evaluation.structures import Categories, GroundTruth, Predictions, Problems


def column(items, key, default, dtype):
    return np.array([item.get(key, default) for item in items], dtype)


def store(items):
    segments = SegmentStore()
    segments.append_many([item.get("segmentation") for item in items])
    return segments


def rank(items):
    """Place of each among the predictions of its image, best first."""
    places = {}
    by_score = sorted(enumerate(items), key=lambda pair: -pair[1]["score"])
    for image_id in {item["image_id"] for item in items}:
        own = [index for index, item in by_score if item["image_id"] == image_id]
        places.update({index: place for place, index in enumerate(own)})
    return np.array([places[index] for index in range(len(items))], np.int32)


def build_truth(data, *, is_lvis=False, splits=None) -> GroundTruth:
    images = sorted(data["images"], key=lambda image: image["id"])
    kinds = sorted(data["categories"], key=lambda kind: kind["id"])
    image_ids, kind_ids = column(images, "id", 0, np.int64), column(kinds, "id", 0, np.int64)
    items = sorted(data["annotations"], key=lambda item: item["image_id"])
    crowd = column(items, "iscrowd", 0, bool) & (not is_lvis)

    def codes(key):
        found = [
            i * len(kinds) + np.searchsorted(kind_ids, kind)
            for i, image in enumerate(images)
            for kind in image.get(key, [])
        ]
        return np.unique(np.array(found, np.int64))

    return GroundTruth(
        title="truth",
        is_lvis=is_lvis,
        image_ids=image_ids,
        image_sizes_hw=np.array([(i["height"], i["width"]) for i in images], np.int32),
        file_names=tuple(image.get("file_name") for image in images),
        categories=Categories(
            kind_ids,
            tuple(kind["name"] for kind in kinds),
            tuple(kind.get("frequency") for kind in kinds),
            splits or (None,) * len(kinds),
            ((),) * len(kinds),
        ),
        annotation_ids=column(items, "id", 0, np.int64),
        image_index=np.searchsorted(image_ids, column(items, "image_id", 0, int)).astype(np.int32),
        category_index=np.searchsorted(kind_ids, column(items, "category_id", 0, int)).astype(
            np.int32
        ),
        areas=column(items, "area", 0, np.float64),
        boxes_xywh=column(items, "bbox", [0] * 4, np.float64).reshape(-1, 4),
        is_crowd=crowd,
        is_ignored=column(items, "ignore", 0, bool) if is_lvis else crowd,
        segment_rows=np.arange(len(items)),
        segments=store(items),
        negative=codes("neg_category_ids") if is_lvis else np.zeros(0, np.int64),
        not_exhaustive=codes("not_exhaustive_category_ids") if is_lvis else np.zeros(0, np.int64),
        problems=Problems(),
    )


def build_predictions(results, truth) -> Predictions:
    items = sorted(results, key=lambda item: item["image_id"])
    has_boxes = bool(items) and "bbox" in items[0]
    has_masks = bool(items) and "segmentation" in items[0]
    if has_boxes or not items:
        boxes = column(items, "bbox", [0] * 4, np.float64).reshape(-1, 4)
    else:
        boxes = np.array([coco_mask.toBbox(item["segmentation"]) for item in items])
    kinds = column(items, "category_id", 0, np.int64)
    images = column(items, "image_id", 0, np.int64)
    return Predictions(
        title="predictions",
        image_index=np.searchsorted(truth.image_ids, images).astype(np.int32),
        category_index=(index := np.searchsorted(truth.categories.ids, kinds)).astype(np.int32),
        labels=np.array(truth.categories.names, object)[index],
        scores=column(items, "score", 0, np.float64),
        boxes_xywh=boxes,
        areas=np.full(len(items), np.nan),
        has_boxes=has_boxes,
        has_masks=has_masks,
        rows=np.arange(len(items)),
        ranks=rank(items),
        segment_rows=np.arange(len(items)) if has_masks else np.full(len(items), -1),
        segments=store(items),
        prompt_ids=np.full(len(items), -1),
        answered_images=np.ones(truth.num_images, bool),
        problems=Problems(),
    )
