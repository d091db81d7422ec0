"""A model and a detector that know nothing but are fast and deterministic, for pipeline tests.

Also a program: `python tests/doubles/fake_labeller.py label ...` is the `ovsam` command with these
fakes in place of the networks (FAKE_SECONDS of sleep an image, leases of FAKE_LEASE_S seconds),
for tests that need a process to kill.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from pycocotools import mask as coco_mask

from ovsam.errors import ImageError
from ovsam.structures import Prediction
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.detectors.base import Detections, Detector
from ovsam_pipeline.labelling.labeller import Labeller, Pace, RunFacts
from ovsam_pipeline.labelling.modes import BoxesAlone, MasksAndLabels, StoredMasks
from ovsam_pipeline.labelling.rules import LabelRules
from ovsam_pipeline.labelling.stored_regions import StoredRegions, locate_regions
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.sources.read_image import decode_image

NAMES = ("cat", "dog", "tree")


class FakeDetector(Detector):
    """Two boxes an image, none where the name holds "empty"; an exception, a dead process or one
    that hangs for ever where it says so.
    """

    name = "fake"
    fingerprint = "f" * 32
    class_names = ("cat", "wolf")
    device = "cpu"

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[int] = []
        self.seconds = seconds

    def detect(self, images):
        self.batches.append(len(images))
        time.sleep(self.seconds * len(images))
        return [self._detect(record.file_name, rgb) for record, rgb in images]

    def _detect(self, name, rgb):
        if "detector_bug" in name:
            raise KeyError("no such thing")
        if "poison" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in name:
            time.sleep(1e6)
        if "empty" in name:
            return Detections.empty(with_categories=True)
        height, width = rgb.shape[:2]
        boxes = np.array([[0, 0, width / 2, height / 2], [width / 2, 0, width, height]], np.float32)
        return Detections(boxes, np.array([0.9, 0.6], np.float32), ("cat", "wolf"))


class FakePredictor:
    """The mask is the prompt's box; the label follows from the picture's brightness."""

    def __init__(self, seconds: float = 0.0, largest_batch: int = 1000) -> None:
        self.seconds = seconds
        self.largest_batch = largest_batch
        self.encoded = 0

    def encode(self, images):
        if len(images) > self.largest_batch:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        self.encoded += len(images)
        time.sleep(self.seconds * len(images))
        return list(images)

    def segment(self, encoded, prompts, *, masks="rle", clip_boxes_xyxy=None):
        assert masks in ("rle", "none")
        assert clip_boxes_xyxy is None
        boxes = np.asarray(prompts.boxes_xyxy, np.float32).round()
        count, (height, width) = len(boxes), encoded.original_size_hw
        full = np.zeros((height, width, count), np.uint8, order="F")
        for index, (left, top, right, bottom) in enumerate(boxes.astype(int)):
            full[top:bottom, left:right, index] = 1
        rles = [{**rle, "counts": rle["counts"].decode()} for rle in coco_mask.encode(full)]
        first = int(encoded.pixels.mean()) % len(NAMES)
        none = np.zeros((count, 0), np.float32)
        labels = (np.arange(count) + first) % len(NAMES)
        logits = np.zeros((count, len(NAMES) + 1), np.float32)
        for place, share in enumerate((0.75, 0.2, 0.05)):
            logits[np.arange(count), (labels + place) % len(NAMES)] = np.log(share)
        return Prediction(
            boxes_xyxy=boxes,
            labels=labels,
            scores=np.full(count, 0.75, np.float32),
            margins=np.full(count, 0.25, np.float32),
            mask_scores=np.full(count, 0.5, np.float32),
            areas=full.sum((0, 1)).astype(np.int64),
            head_logits=logits,
            clip_logits=logits,
            fused_logits=logits,
            low_res_logits=none[:, None],
            rles=rles if masks == "rle" else None,
        )


def make_labeller(
    config: LabelConfig | None = None,
    embedding=None,
    *,
    detector=None,
    predictor=None,
    rules: LabelRules | None = None,
    depends_on: dict | None = None,
    decode=decode_image,
    **pace,
) -> Labeller:
    """Build a labeller of fakes; `pace` replaces fields of its `Pace`."""
    config = config or LabelConfig(sources=("x",))
    predictor = predictor or FakePredictor(float(os.environ.get("FAKE_SECONDS", "0")))
    rules = rules or LabelRules(Vocabulary(NAMES), conf=config.conf, max_det=config.max_det)
    settings = {"model": "fake", "conf": config.conf, "vocabulary": config.vocabulary}
    provenance = {"model": {"name": "fake"}}
    return Labeller(
        detector or FakeDetector(),
        MasksAndLabels(predictor, rules, input_size=64),
        replace(Pace(config.batch or 1, config.workers or 2, is_overlapping=False), **pace),
        RunFacts(config, depends_on or settings, provenance, rules.list_categories()),
        decode,
    )


def make_box_finder(
    config: LabelConfig | None = None, embedding=None, *, detector=None, decode=decode_image
) -> Labeller:
    """Build what `ovsam detect` runs, with the fake detector."""
    config = config or LabelConfig(sources=("x",))
    detector = detector or FakeDetector(float(os.environ.get("FAKE_SECONDS", "0")))
    depends_on = {"task": "detect", "conf": config.conf}
    provenance = {"task": "detect", "class_names": list(FakeDetector.class_names)}
    return Labeller(
        detector,
        BoxesAlone(config.conf, config.max_det),
        Pace(config.batch or 1, config.workers or 2, is_overlapping=False),
        RunFacts(config, depends_on, provenance, has_labels=False),
        decode,
    )


def make_relabeller(config: LabelConfig, embedding=None) -> Labeller:
    """Build what `ovsam label --relabel` runs: the fake model with other names."""
    regions = StoredRegions(locate_regions(config))
    rules = LabelRules(Vocabulary(("cow", "goat", "shrub")))
    mode = StoredMasks(FakePredictor(), rules, 64, regions)
    depends_on = {"model": "fake", "regions": regions.fingerprint}
    facts = RunFacts(config, depends_on, {"model": {"name": "fake"}}, rules.list_categories())
    return Labeller(regions, mode, Pace(1, 2, is_overlapping=False), facts, decode_image)


def write_images(folder, count: int, names: Sequence[str] = ()) -> list[str]:
    """Write small PNGs of different brightness; return their names, sorted."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    written = list(names) or [f"{index:04d}.png" for index in range(count)]
    for index, name in enumerate(written):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((24, 32 + index % 7, 3), index % 251, np.uint8))
    return sorted(written)


def refuse(record):
    raise ImageError("damaged on purpose")


def main() -> None:
    """Run the command line with the fakes, and without torchvision, which is slow to import."""
    from ovsam_pipeline import cli
    from ovsam_pipeline.labelling import build
    from ovsam_pipeline.output import folder as store

    rules = LabelRules(vocabulary=Vocabulary(NAMES), iou=None)
    build.build_labeller = partial(make_labeller, rules=rules)
    build.build_box_finder = make_box_finder
    build.build_relabeller = make_relabeller
    if seconds := os.environ.get("FAKE_LEASE_S"):
        store.take_lock = partial(store.take_lock, lease_s=float(seconds))
    sys.argv[0] = "ovsam"
    cli.main()


if __name__ == "__main__":
    main()
