"""`faster-rcnn`, `vitdet`, `detic`: our own networks with official weights.

A name and settings → files → a network → a `Detector`. Images that are padded to one size run
together, others do not: so an image's boxes never depend on its neighbours. The networks are in
`rcnn/`, the table of names and files in `official_weights.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ovsam.device import building_on
from ovsam.errors import CheckpointError
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.tensor_files import DTYPES
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage, run_grouped
from ovsam_pipeline.detectors.box_rules import to_detections
from ovsam_pipeline.detectors.identity import (
    DetectorIdentity,
    Mode,
    find_official_parts,
    identify_official,
)
from ovsam_pipeline.detectors.official.array_pickle import read_official_file
from ovsam_pipeline.detectors.official.rcnn.detic import build_detic
from ovsam_pipeline.detectors.official.rcnn.faster_rcnn import build_faster_rcnn
from ovsam_pipeline.detectors.official.rcnn.official_names import load_official_state
from ovsam_pipeline.detectors.official.rcnn.resize import build_batch, compute_padded_size, prepare
from ovsam_pipeline.detectors.official.rcnn.structures import DetectedBoxes, Prepared
from ovsam_pipeline.detectors.official.rcnn.vitdet import build_vitdet
from ovsam_pipeline.detectors.official.weights import KnownDetector, find_known_detector
from ovsam_pipeline.detectors.random_weights import fill_randomly, warn_meaningless
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import is_out_of_memory

if TYPE_CHECKING:
    from ovsam_pipeline.detectors.official.rcnn.network import RCNN

logger = logging.getLogger(__name__)

_NUM_CLASSES = {"coco": 80, "lvis": 1203}


def build_official_detector(known: KnownDetector, settings: DetectorSettings) -> OfficialDetector:
    """Build a detector with its official weights, or with those of a file or of random numbers.

    `settings`: `argument` is "", "FILE", and in either case may end in "#proposals", "#refined" or
    "#detections".
    """
    parts = find_official_parts(known, settings)
    if parts.weights is None or (parts.is_open and parts.seed is not None):
        warn_meaningless(known.name)
    network = _load_network(known, parts.weights, parts.seed or 0)
    if parts.is_open:
        network.set_vocabulary(_embed(parts.vocabulary, parts.require_text_file(), parts.seed))
    network.recipe = replace(
        network.recipe,
        score_threshold=settings.score_threshold,
        top_k=settings.max_det,
    )
    identity = identify_official(known, settings, parts)
    return OfficialDetector(network, parts.vocabulary, parts.mode, settings, identity)


class OfficialDetector(Detector):
    """A network of `rcnn/` behind the Detector protocol.

    Args:
        network: weights and vocabulary set, its recipe holding the run's thresholds.
        vocabulary: names and ids of its classes.
        mode: "detections": boxes with classes, as published; "refined": one box a proposal,
            whatever its class; "proposals": the first stage's boxes.
    """

    def __init__(
        self,
        network: RCNN,
        vocabulary: Vocabulary,
        mode: Mode,
        settings: DetectorSettings,
        identity: DetectorIdentity,
    ) -> None:
        self.name, self.fingerprint = identity.name, identity.fingerprint
        self.class_names, self.licence = identity.class_names, identity.licence
        self.device = settings.device
        self.mode = mode
        self.vocabulary = vocabulary
        self.network = network.to(settings.device).eval().requires_grad_(False)
        if settings.dtype != "fp32":
            network.cast_body(DTYPES[settings.dtype])
        if settings.is_compiled:
            # Not for sizes in general: the windows of Swin would take it many minutes.
            network.backbone.compile(dynamic=False)
        self._category_ids = np.asarray(vocabulary.category_ids, np.int64)
        self._most_together: int | None = None

    @torch.inference_mode()
    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch; see `Detector.detect`."""
        recipe = self.network.recipe
        found = run_grouped(
            [prepare(image.rgb, recipe) for image in images],
            lambda item: compute_padded_size([item.resized_hw], recipe),
            self._run,
        )
        return [self._to_detections(boxes) for boxes in found]

    def _run(self, items: Sequence[Prepared]) -> list[DetectedBoxes]:
        """Run images of one padded size, as many together as memory has proved to hold."""
        results: list[DetectedBoxes] = []
        too_many = 0
        while len(results) < len(items):
            size = min(len(items) - len(results), self._most_together or len(items))
            found = self._try(items[len(results) : len(results) + size])
            if found is None:
                too_many = too_many or size
                self._most_together = size // 2
                continue
            if too_many:  # said when the size that works is known
                logger.warning(
                    "%s runs out of memory with %d images together; from here on it takes %d",
                    self.name,
                    too_many,
                    size,
                )
                too_many = 0
            results += found
        return results

    def _try(self, items: Sequence[Prepared]) -> list[DetectedBoxes] | None:
        """Run a batch; None when several images do not fit into memory together."""
        try:
            return self._forward(items)
        except RuntimeError as error:
            if len(items) == 1 or not is_out_of_memory(error):
                raise
        # Outside the handler: the traceback held the tensors of the attempt.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _forward(self, items: Sequence[Prepared]) -> list[DetectedBoxes]:
        batch = build_batch([item.pixels for item in items], self.network.recipe)
        return self.network.detect(
            batch.to(self.device),
            [item.resized_hw for item in items],
            [item.original_hw for item in items],
            mode="classes" if self.mode == "detections" else self.mode,
        )

    def _to_detections(self, found: DetectedBoxes) -> Detections:
        boxes, scores = found.boxes_xyxy.float().cpu().numpy(), found.scores.float().cpu().numpy()
        if self.class_names is None:
            return to_detections(boxes, scores)
        classes = found.classes.cpu().numpy()
        return to_detections(boxes, scores, classes, self.class_names, self._category_ids)


def _build_network(known: KnownDetector) -> RCNN:
    if known.family == "detic":
        return build_detic(known.variant)
    if known.family == "vitdet":
        return build_vitdet(known.variant, num_classes=_NUM_CLASSES[known.classes])
    return build_faster_rcnn(num_classes=_NUM_CLASSES[known.classes])


def _load_network(known: KnownDetector, path: Path | None, seed: int) -> RCNN:
    """Return the network with the weights of a file; None: made-up ones."""
    if path is None:
        network = _build_network(known)
        fill_randomly(network, seed)
        return network
    tensors = read_official_file(path)
    with building_on("meta"):  # nothing is allocated or drawn that the file replaces
        network = _build_network(known)
    try:
        return load_official_state(network, tensors)
    except CheckpointError as error:
        name = guess_detector(tensors)
        is_asked_for = name is not None and find_known_detector(name) == known
        hint = f"; these look like weights of {name}" if name and not is_asked_for else ""
        raise CheckpointError(f"{path}: {error}{hint}") from error


def guess_detector(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the detector that a file's tensors belong to; None: unknown."""
    if "backbone.bottom_up.patch_embed.proj.weight" in tensors:
        return "detic"
    if "backbone.bottom_up.base.conv1.weight" in tensors:
        return "detic-r50"
    if "backbone.bottom_up.stem.conv1.weight" in tensors:
        return "faster-rcnn"
    position = tensors.get("backbone.net.pos_embed")
    if position is None:
        return None
    size = {768: "-b", 1024: "-l", 1280: "-h"}.get(position.shape[-1], "")
    scores = tensors.get("roi_heads.box_predictor.0.cls_score.bias")
    is_lvis = scores is not None and len(scores) == _NUM_CLASSES["lvis"] + 1
    return f"vitdet{size}" + ("-lvis" if is_lvis else "")


def _embed(vocabulary: Vocabulary, text_file: Path | None, seed: int | None) -> Tensor:
    from ovsam_pipeline.detectors.official.text_prompts import embed_class_names, load_clip_text

    return embed_class_names(vocabulary, load_clip_text(text_file, seed or 0))
