"""A quick measure of a baseline on a held-out pool while it trains (`ovsam eval`: the real one)."""

from __future__ import annotations

import numpy as np

from ovsam.labelling_model import LabellingModel
from ovsam.predictor import Predictor
from ovsam.preprocess import prepare_image
from ovsam.structures import Prompts
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.scenes.pool import ScenePool


def evaluate_baseline(
    model: LabellingModel, vocabulary: Vocabulary, pool: ScenePool, *, scenes: int
) -> dict[str, float]:
    """Measure mean IoU and label accuracy with ground-truth boxes, over base and novel classes."""
    predictor = Predictor(model, vocabulary)
    is_novel_class = np.isin(np.arange(vocabulary.num_classes), vocabulary.novel or ())
    ious: list[float] = []
    hits: list[bool] = []
    novel: list[bool] = []
    for index in range(min(scenes, len(pool))):
        scene = pool.scene(index)
        prepared = prepare_image(np.array(scene.image), model.config.input_size)
        encoded = predictor.encode([prepared])[0]
        found = predictor.segment(encoded, Prompts(pool.boxes_xyxy(index)), masks="full")
        assert found.masks is not None
        for row, class_id in enumerate(scene.class_ids):
            truth, mask = scene.mask(row).astype(bool), found.masks[row]
            ious.append(float((truth & mask).sum() / max((truth | mask).sum(), 1)))
            hits.append(bool(found.labels[row] == class_id))
            novel.append(bool(is_novel_class[class_id]))
    chosen = np.array(novel, bool)
    return {
        "iou": _mean(np.array(ious)),
        "accuracy": _mean(np.array(hits)),
        "accuracy_base": _mean(np.array(hits)[~chosen]),
        "accuracy_novel": _mean(np.array(hits)[chosen]),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
