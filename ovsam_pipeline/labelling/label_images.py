"""ImageRecords → LabelRecords: decode ∥ detect ∥ segment ∥ build rows, one row for every image.

Without a predictor (`ovsam detect`) rows are built from the boxes; with stored regions (`ovsam
label --relabel`) these are the boxes, and only their labels are new.

Threads with bounded queues between them; order is kept; no image is decoded twice. This is the one
place where an image's failure is turned into a row: whatever goes wrong with one image, the others
do not notice. Knows nothing of Ray, files of results, or the command line.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ovsam.errors import ImageError, OvsamError
from ovsam.preprocess import prepare_image
from ovsam.structures import PreparedImage, Prompts
from ovsam_pipeline.detectors.base import Detections, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.errors import is_out_of_memory
from ovsam_pipeline.labelling.objects import build_box, build_objects
from ovsam_pipeline.labelling.run_ahead import run_ahead
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.outcomes import INTERNAL_ERROR, MODEL_ERROR, OUT_OF_MEMORY
from ovsam_pipeline.records import ImageRecord, LabelRecord

if TYPE_CHECKING:
    from ovsam_pipeline.labelling.labeller import Labeller

logger = logging.getLogger(__name__)

_MOST_HELD_BYTES = 1 << 30
_T = TypeVar("_T")


@dataclass(slots=True)
class _Item:
    """An image on its way; a stage fills its field or sets `error`.

    `dropped` is what a stage left out of it: a stage may run twice on an image, and counts once.
    """

    record: ImageRecord
    size_hw: tuple[int, int] | None = None
    rgb: np.ndarray | None = None
    prepared: PreparedImage | None = None
    detections: Detections | None = None
    row: LabelRecord | None = None
    error: str | None = None
    dropped: Counter[str] = field(default_factory=Counter)


def label_images(
    images: Iterable[ImageRecord],
    labeller: Labeller,
    stop: threading.Event | None = None,
    stats: ShardStats | None = None,
) -> Generator[LabelRecord]:
    """Label images, in order, one row each.

    Args:
        images: what to label; read lazily, a little ahead of the rows.
        labeller: model, detector, vocabulary and rules.
        stop: once set, the image in the network is finished and the rest is left out.
        stats: filled while rows come.

    Returns:
        Rows as they are ready. An image that fails is a row that says why.
    """
    stop = stop or threading.Event()
    stats = stats or ShardStats()
    with ExitStack() as stack:
        held = _HeldPixels()
        decoded = run_ahead(_decode_images(images, labeller, stop, stats, held), labeller.batch)
        stack.enter_context(closing(decoded))
        detected = _detect_batches(decoded, labeller, stop, stats, held)
        if labeller.is_overlapping:
            detected = stack.enter_context(closing(run_ahead(detected, 2)))
        finish = _keep_boxes if labeller.predictor is None else _segment_batches
        segmented = run_ahead(finish(detected, labeller, stop, stats), 2)
        # Left last in, first out: each thread ends before the one that it reads from.
        for items in stack.enter_context(closing(segmented)):
            yield from (_finish_row(item) for item in items)


class _HeldPixels:
    """How many bytes of full-size pixels wait for the detector."""

    def __init__(self) -> None:
        self._num_bytes = 0
        self._guard = threading.Lock()

    @property
    def is_too_much(self) -> bool:
        """Whether decoding should wait."""
        return self._num_bytes > _MOST_HELD_BYTES

    def add(self, num_bytes: int) -> None:
        """Count pixels that were decoded, or with a minus sign let go."""
        with self._guard:
            self._num_bytes += num_bytes


def _decode_images(
    images: Iterable[ImageRecord],
    labeller: Labeller,
    stop: threading.Event,
    stats: ShardStats,
    held: _HeldPixels,
) -> Generator[_Item]:
    """Decode on a pool of threads, at most `workers + batch` images ahead, fewer huge ones."""

    def run(items: Sequence[_Item]) -> None:
        for item in items:
            item.rgb = labeller.decode(item.record)
            held.add(item.rgb.nbytes)
            item.size_hw = (item.rgb.shape[0], item.rgb.shape[1])
            if labeller.predictor is not None:
                item.prepared = prepare_image(item.rgb, labeller.input_size)

    def decode(record: ImageRecord) -> _Item:
        item, start_s = _Item(record), time.perf_counter()
        _isolate(run, [item])
        stats.add_time("decode", start_s)
        return item

    pending: deque[Future[_Item]] = deque()
    pool = ThreadPoolExecutor(labeller.workers, thread_name_prefix="ovsam-decode")
    try:
        for record in images:
            if stop.is_set():
                return
            pending.append(pool.submit(decode, record))
            most = labeller.workers + labeller.batch
            while pending and (len(pending) >= most or held.is_too_much):
                yield pending.popleft().result()
        while pending and not stop.is_set():
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _detect_batches(
    decoded: Iterator[_Item],
    labeller: Labeller,
    stop: threading.Event,
    stats: ShardStats,
    held: _HeldPixels,
) -> Generator[list[_Item]]:
    """Find boxes, drop bad ones and duplicates; the full-size pixels are let go here."""
    config = labeller.config
    # Every annotation is a prompt: ground truth has no limit.
    max_det = None if config.detector.startswith("gt:") else config.max_det

    def run(batch: Sequence[_Item]) -> None:
        images = [DetectorImage(item.record, _given(item.rgb)) for item in batch]
        for item, given in zip(batch, labeller.detector.detect(images), strict=True):
            found, dropped = given, Counter[str]()
            if labeller.stored is None:  # stored boxes were cleaned, and each has its object
                size_hw = _given(item.size_hw)
                found, dropped = clean(given, size_hw, conf=config.conf, max_det=max_det)
            kept = found if labeller.rules is None else labeller.rules.keep_boxes(found)
            dropped["duplicate or not asked for"] = len(found) - len(kept)
            item.detections, item.dropped = kept, dropped

    for items in _group(decoded, labeller.batch):
        if stop.is_set():
            break
        start_s = time.perf_counter()
        _isolate(run, [item for item in items if item.error is None])
        _count_dropped(items, stats)
        for item in items:
            held.add(0 if item.rgb is None else -item.rgb.nbytes)
            item.rgb = None
        stats.add_time("detect", start_s)
        yield items


def _count_dropped(items: Iterable[_Item], stats: ShardStats) -> None:
    """Count what a stage left out of some images, once."""
    for item in items:
        for reason, count in item.dropped.items():
            stats.add_dropped(reason, count)
        item.dropped = Counter()


def _segment_batches(
    detected: Iterator[list[_Item]], labeller: Labeller, stop: threading.Event, stats: ShardStats
) -> Generator[list[_Item]]:
    """Encode the images that have boxes, then prompt each and build its row."""
    predictor, rules = _given(labeller.predictor), _given(labeller.rules)
    masks = "rle" if labeller.stored is None else "none"

    def run(batch: Sequence[_Item]) -> None:
        encoded = predictor.encode([_given(item.prepared) for item in batch])
        for item, image in zip(batch, encoded, strict=True):
            boxes = _given(item.detections)
            clip_boxes = boxes.boxes_xyxy if labeller.gives_clip_boxes else None
            prediction = predictor.segment(
                image, _build_prompts(boxes), masks=masks, clip_boxes_xyxy=clip_boxes
            )
            if labeller.stored is None:
                objects, item.dropped = build_objects(prediction, boxes, rules)
            else:
                objects = labeller.stored.relabel(item.record, prediction, boxes, rules)
            item.row = LabelRecord.labelled(item.record, *_width_height(item), objects)

    for items in detected:
        if stop.is_set():
            return
        start_s = time.perf_counter()
        sound = [item for item in items if item.error is None]
        _isolate(run, [item for item in sound if len(_given(item.detections))])
        _count_dropped(sound, stats)
        for item in sound:
            if item.error is None and item.row is None:
                item.row = LabelRecord.labelled(item.record, *_width_height(item), ())
        stats.add_time("segment", start_s)
        yield items


def _keep_boxes(
    detected: Iterator[list[_Item]], labeller: Labeller, stop: threading.Event, stats: ShardStats
) -> Generator[list[_Item]]:
    """Build rows of boxes alone."""
    del labeller, stats
    for items in detected:
        if stop.is_set():
            return
        for item in items:
            if item.error is None:
                found = _given(item.detections)
                boxes = tuple(build_box(found, row) for row in range(len(found)))
                item.row = LabelRecord.labelled(item.record, *_width_height(item), boxes)
        yield items


def _build_prompts(found: Detections) -> Prompts:
    """A detector's point is the prompt where it gives one, else its box."""
    if found.points_xy is not None:
        return Prompts(
            points_xy=found.points_xy[:, None], point_labels=np.ones((len(found), 1), int)
        )
    return Prompts(boxes_xyxy=found.boxes_xyxy)


def _finish_row(item: _Item) -> LabelRecord:
    if item.error is None:
        return _given(item.row)
    width, height = _width_height(item) if item.size_hw else (None, None)
    return LabelRecord.failed(item.record, item.error, width, height)


def _width_height(item: _Item) -> tuple[int, int]:
    height, width = _given(item.size_hw)
    return width, height


def _given(value: _T | None) -> _T:
    """Return what an earlier stage filled in."""
    assert value is not None
    return value


def _isolate(run: Callable[[Sequence[_Item]], None], items: list[_Item]) -> None:
    """Run a stage on items; where that fails, halve until the ones to blame are alone.

    Halving also answers running out of memory: a smaller batch needs less.
    """
    if not items:
        return
    try:
        run(items)
    except Exception as error:  # noqa: BLE001 - an image's failure is its row; a bug is logged below
        if is_out_of_memory(error):
            _release_memory()
        if len(items) == 1:
            items[0].error = _describe(error, items[0].record)
        else:
            middle = len(items) // 2
            _isolate(run, items[:middle])
            _isolate(run, items[middle:])


def _describe(error: Exception, record: ImageRecord) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, OvsamError):
        return f"{MODEL_ERROR}: {error}"
    if is_out_of_memory(error):
        return f"{OUT_OF_MEMORY}; a smaller --max-det or --dtype bf16 needs less"
    logger.error("%s (image id %s): %r", record.file_name, record.image_id, error, exc_info=error)
    return f"{INTERNAL_ERROR}: {type(error).__name__}: {error}"


def _release_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _group(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
