"""Quick measures on a held-out pool while a stage trains.

The measures that the docs state come from benchmarks/paper/nano_metrics.py.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ovsam.classifier import Classifier
from ovsam.labelling_model import LabellingModel
from ovsam.model import OVSAM
from ovsam.predictor import Predictor
from ovsam.preprocess import prepare_image
from ovsam.structures import Prompts
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.loop.autocast import autocast_bfloat16
from ovsam.training.loop.distributed import CPU
from ovsam.training.samples import stack_pixels
from ovsam.training.scenes.crops import CropSource, normalise_crops
from ovsam.training.scenes.pool import ScenePool
from ovsam.training.steps.clip_pretraining import ClipPretrainer

_BATCH = 50


@torch.inference_mode()
def evaluate_tower(
    model: ClipPretrainer, pool: ScenePool, *, crops: int, scenes: int
) -> dict[str, float]:
    """Top-1 of the attention pool on 96-pixel crops and on ground-truth boxes of scenes."""
    was_training = model.training
    model.eval()
    source = CropSource(pool)
    chosen = np.random.default_rng(0).permutation(len(source))[:crops]
    hits = 0
    for start in range(0, len(chosen), _BATCH):
        cut = [source.centred(int(number), 96) for number in chosen[start : start + _BATCH]]
        labels = torch.tensor([label for _, label in cut])
        with autocast_bfloat16(CPU):
            logits = model.classify_crops(normalise_crops(np.stack([crop for crop, _ in cut])))[0]
        hits += int((logits.argmax(dim=1) == labels).sum())
    found, total = 0, 0
    for index in range(min(scenes, len(pool))):
        scene = pool.scene(index)
        boxes = [torch.from_numpy(pool.boxes_xyxy(index))]
        with autocast_bfloat16(CPU):
            stages = model.tower(normalise_crops(scene.image[None]))
            logits = model.classify_regions(stages, boxes)[0]
        found += int((logits.argmax(dim=1) == torch.from_numpy(scene.class_ids)).sum())
        total += len(scene.class_ids)
    model.train(was_training)
    return {"crop_accuracy": hits / max(len(chosen), 1), "region_accuracy": found / max(total, 1)}


def _encode_scene(model: OVSAM, pool: ScenePool, index: int) -> tuple[Tensor, ...]:
    sample = pool.sample(index, np.zeros(1 << 10, np.int64))
    pixels = stack_pixels([sample], model.config.input_size, model.device)
    return model.image_encoder(pixels)


@torch.inference_mode()
def evaluate_masks(model: OVSAM, pool: ScenePool, *, scenes: int) -> dict[str, float]:
    """Mean IoU for ground-truth boxes and for centre-most points, at the network's resolution."""
    size = model.config.input_size
    by_box: list[float] = []
    by_point: list[float] = []
    for index in range(min(scenes, len(pool))):
        features = model.read_stages(_encode_scene(model, pool, index))
        scene = pool.scene(index)
        truth = torch.stack(
            [torch.from_numpy(scene.mask(row)) for row in range(len(scene.class_ids))]
        ).to(model.device)
        boxes = torch.from_numpy(pool.boxes_xyxy(index)).to(model.device)
        points = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]
        labels = torch.ones(points.shape[:2], dtype=torch.int64, device=model.device)
        for store, prompt in ((by_box, (boxes,)), (by_point, (None, points, labels))):
            logits, _ = model.decode(features, *prompt)
            up = torch.nn.functional.interpolate(logits[:, None], (size, size), mode="bilinear")
            store.extend(_ious(up[:, 0] > 0, truth))
    return {"iou_box": float(np.mean(by_box)), "iou_point": float(np.mean(by_point))}


def _ious(masks: Tensor, truth: Tensor) -> list[float]:
    """IoU of each pair of (N, H, W) bool masks."""
    overlap = (masks & truth).flatten(1).sum(dim=1).float()
    return (overlap / (masks | truth).flatten(1).sum(dim=1).clamp(min=1)).tolist()


@torch.inference_mode()
def evaluate_labels(
    model: OVSAM, vocabulary: Vocabulary, pool: ScenePool, *, scenes: int
) -> dict[str, float]:
    """Accuracy over the whole vocabulary with ground-truth boxes: head, frozen CLIP and fused."""
    assert vocabulary.embeddings is not None
    embeddings = vocabulary.embeddings.to(model.device)
    classifier = Classifier(embeddings, vocabulary.base, vocabulary.novel, model.config.logit_scale)
    novel = np.isin(np.arange(vocabulary.num_classes), vocabulary.novel or ())
    hits: dict[str, list[bool]] = {name: [] for name in ("head", "clip", "fused")}
    is_novel: list[bool] = []
    for index in range(min(scenes, len(pool))):
        stages = _encode_scene(model, pool, index)
        boxes = torch.from_numpy(pool.boxes_xyxy(index)).to(model.device)
        truth = pool.scene(index).class_ids
        head = classifier.cosine_logits(_embed_by_head(model, stages, boxes))
        clip = classifier.cosine_logits(
            model.image_encoder.embed_regions(stages[3], boxes, boxes.new_zeros(len(boxes), 1, 1))
        )
        fused = classifier.fuse(
            head, clip, torch.ones(len(boxes), dtype=torch.bool, device=model.device)
        )
        for name, logits in (("head", head), ("clip", clip), ("fused", fused)):
            hits[name].extend((logits[:, :-1].argmax(dim=1).cpu().numpy() == truth).tolist())
        is_novel.extend(novel[truth].tolist())
    chosen = np.array(is_novel)
    groups = {"base": ~chosen, "novel": chosen, "all": np.ones_like(chosen)}
    return {
        f"{name}_{group}": float(np.array(values)[rows].mean())
        for name, values in hits.items()
        for group, rows in groups.items()
        if rows.any()
    }


def _embed_by_head(model: OVSAM, stages: tuple[Tensor, ...], boxes: Tensor) -> Tensor:
    """(N, D) embeddings of one image's boxes; heads without an FPN need the decoder's tokens."""
    head = model.clip2sam
    if head.kind == "fpn":
        return head.embed_rois(head.build_levels(stages), boxes, boxes.new_zeros(len(boxes)))
    logits, tokens = model.decode(model.read_stages(stages), boxes)
    return head.embed_regions((), boxes, tokens, stages[3], logits)


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
