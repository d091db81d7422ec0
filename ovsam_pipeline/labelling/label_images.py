"""ImageRecords → LabelRecords: decode ∥ find boxes ∥ build objects, one row per image, in order.

Three threads with bounded queues between them; no image is decoded twice. An image goes from stage
to stage until its row is known: when it fails, when no box is found, or at the end. This is the one
place where a failure becomes a row: whatever goes wrong with one image, the others do not notice.
Knows nothing of Ray, of the output folder, or of the command line.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ovsam.decode import DECODING_BYTES_A_PIXEL
from ovsam.errors import ImageError, OvsamError
from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.errors import is_out_of_memory
from ovsam_pipeline.labelling.modes import FoundImage
from ovsam_pipeline.labelling.run_ahead import run_ahead
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.outcomes import INTERNAL_ERROR, MODEL_ERROR, OUT_OF_MEMORY
from ovsam_pipeline.records import ImageRecord, LabelRecord
from ovsam_pipeline.sources.perceptual_hash import PerceptualHash, compute_phash

if TYPE_CHECKING:
    import numpy as np

    from ovsam_pipeline.labelling.labeller import Labeller

logger = logging.getLogger(__name__)

# Of full-size pixels, while they are decoded and until the detector has seen them: twenty or so
# photos of 12 megapixels that are decoded at once, or the largest image allowed.
_MOST_HELD_BYTES = 2_500_000_000
_MOST_BATCH_BYTES = 1 << 29


def label_images(
    images: Iterable[ImageRecord],
    labeller: Labeller,
    stop: threading.Event | None = None,
    stats: ShardStats | None = None,
) -> Generator[LabelRecord]:
    """Label images, in order, one row each.

    `images`: what to label; read lazily, a little ahead of the rows. `stop`: once set, the batch in
    hand is finished and the rest is left out.
    """
    stages = _Stages(labeller, stop or threading.Event(), stats or ShardStats())
    with ExitStack() as stack:
        # Left last in, first out: each thread ends before the one that it reads from.
        decoded = run_ahead(stages.decode(images), labeller.pace.batch)
        stack.enter_context(closing(decoded))
        found = stages.find_boxes(decoded)
        if labeller.pace.is_overlapping:
            found = stack.enter_context(closing(run_ahead(found, 2)))
        rows = stack.enter_context(closing(run_ahead(stages.build_rows(found), 2)))
        for batch in rows:
            yield from batch


@dataclass(frozen=True, slots=True)
class _DecodedImage:
    """An image as decoded, and what the mode prepared of it."""

    record: ImageRecord
    rgb: np.ndarray
    prepared: Any
    phash: PerceptualHash | None
    warning: str | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]


class _Stages:
    """The three stages. Each passes on images, or their rows where these are known already."""

    def __init__(self, labeller: Labeller, stop: threading.Event, stats: ShardStats) -> None:
        self._labeller, self._mode, self._pace = labeller, labeller.mode, labeller.pace
        self._stop, self._stats = stop, stats
        self._held = _HeldPixels()

    def decode(self, images: Iterable[ImageRecord]) -> Generator[_DecodedImage | LabelRecord]:
        """Decode on a pool of threads, at most `workers + batch` images ahead, fewer huge ones."""
        most = self._pace.workers + self._pace.batch
        pending: deque[Future[_DecodedImage | LabelRecord]] = deque()
        places = itertools.count(1)
        pool = ThreadPoolExecutor(self._pace.workers, thread_name_prefix="ovsam-decode")
        try:
            for record in images:
                if self._stop.is_set():
                    return
                pending.append(pool.submit(self._decode, record, next(places)))
                while pending and (len(pending) >= most or self._held.is_too_much):
                    yield pending.popleft().result()
            while pending and not self._stop.is_set():
                yield pending.popleft().result()
        finally:
            self._held.close()
            pool.shutdown(wait=True, cancel_futures=True)

    def find_boxes(
        self, decoded: Iterator[_DecodedImage | LabelRecord]
    ) -> Generator[list[FoundImage[Any] | LabelRecord]]:
        """Find and choose boxes, in batches; the full-size pixels are let go here."""
        for batch in _group(self._receive(decoded), self._pace.batch):
            if self._stop.is_set():
                return
            start_s = time.perf_counter()
            found = _run_stage(self._find_boxes, batch)
            self._held.add(-_count_bytes(batch))
            # Else the pixels would live until the next batch is complete.
            batch.clear()
            self._stats.add_time("detect", start_s)
            yield found

    def _receive(
        self, decoded: Iterator[_DecodedImage | LabelRecord]
    ) -> Generator[_DecodedImage | LabelRecord]:
        """Pass on decoded images, and tell when one is waited for."""
        while True:
            self._held.want()
            images = list(itertools.islice(decoded, 1))
            self._held.receive()
            if not images:
                return
            # Not kept in a variable: the pixels would live while the generator waits.
            yield images.pop()

    def build_rows(
        self, found: Iterator[list[FoundImage[Any] | LabelRecord]]
    ) -> Generator[list[LabelRecord]]:
        """Let the mode build the objects of each batch."""
        for batch in found:
            if self._stop.is_set():
                return
            start_s = time.perf_counter()
            rows = _run_stage(self._build_rows, batch)
            self._stats.add_time(self._mode.stage, start_s)
            yield rows

    def _decode(self, record: ImageRecord, place: int) -> _DecodedImage | LabelRecord:
        """Decode the image that is at a place in the order of the run, from 1."""
        start_s, size_hw = time.perf_counter(), None
        taken = 0

        def admit(num_pixels: int) -> None:
            nonlocal taken
            self._held.take(num_pixels * DECODING_BYTES_A_PIXEL, place)
            taken = num_pixels * DECODING_BYTES_A_PIXEL

        try:
            warnings: list[str] = []
            rgb = self._labeller.decode(record, warn=warnings.append, admit=admit)
            size_hw = rgb.shape[0], rgb.shape[1]
            prepared = self._mode.prepare(rgb)
            warning = "; ".join(warnings) or None
            image = _DecodedImage(record, rgb, prepared, compute_phash(rgb), warning)
        except Exception as error:  # noqa: BLE001 - an image's failure is its row
            self._held.add(-taken)
            return _fail(record, size_hw, error)
        finally:
            self._stats.add_time("decode", start_s)
        self._held.add(rgb.nbytes - taken)
        return image

    def _find_boxes(
        self, images: Sequence[_DecodedImage]
    ) -> Sequence[FoundImage[Any] | LabelRecord]:
        given = [DetectorImage(image.record, image.rgb) for image in images]
        passed: list[FoundImage[Any] | LabelRecord] = []
        total: Counter[str] = Counter()
        for image, boxes in zip(images, self._labeller.detector.detect(given), strict=True):
            chosen, dropped = self._mode.choose_boxes(boxes, image.size_hw)
            total += dropped
            if len(chosen):
                found = FoundImage(
                    image.record,
                    image.size_hw,
                    image.prepared,
                    chosen,
                    image.warning,
                    image.phash,
                )
                passed.append(found)
            else:
                passed.append(_finish(image, ()))
        # Counted once all went well: a batch that fails runs again in halves.
        self._stats.add_dropped(total)
        return passed

    def _build_rows(self, images: Sequence[FoundImage[Any]]) -> Sequence[LabelRecord]:
        built = self._mode.build_objects(images)
        rows = [_finish(image, objects) for image, (objects, _) in zip(images, built, strict=True)]
        for _, dropped in built:
            self._stats.add_dropped(dropped)
        return rows


class _HeldPixels:
    """How many bytes of full-size pixels there are, and which image may be decoded next.

    An image waits until there is room for it, or until it is the one that the detector waits for:
    those after it could not be let go before it.
    """

    def __init__(self) -> None:
        self._num_bytes = self._num_received = 0
        self._is_wanted = self._is_closed = False
        self._changed = threading.Condition()

    @property
    def is_too_much(self) -> bool:
        """Whether decoding should wait."""
        return self._num_bytes > _MOST_HELD_BYTES

    def take(self, num_bytes: int, place: int) -> None:
        """Wait until there is room for the image at a place in the order of the run, from 1."""

        def has_room() -> bool:
            is_next = self._is_wanted and place == self._num_received + 1
            return self._is_closed or is_next or self._num_bytes + num_bytes <= _MOST_HELD_BYTES

        with self._changed:
            self._changed.wait_for(has_room)
            if self._is_closed:
                raise ImageError("the run was stopped")
            self._num_bytes += num_bytes

    def add(self, num_bytes: int) -> None:
        """Count pixels that were decoded, or with a minus sign let go."""
        with self._changed:
            self._num_bytes += num_bytes
            self._changed.notify_all()

    def want(self) -> None:
        """Note that the detector waits for the next image in the order of the run."""
        with self._changed:
            self._is_wanted = True
            self._changed.notify_all()

    def receive(self) -> None:
        """Note that the detector has that image."""
        with self._changed:
            self._is_wanted = False
            self._num_received += 1

    def close(self) -> None:
        """Let all that wait go: their images are not needed any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class _Image(Protocol):
    """An image between two stages."""

    @property
    def record(self) -> ImageRecord: ...
    @property
    def size_hw(self) -> tuple[int, int]: ...
    @property
    def warning(self) -> str | None: ...
    @property
    def phash(self) -> PerceptualHash | None: ...


_I = TypeVar("_I", bound=_Image)
_T = TypeVar("_T")


def _run_stage(
    run: Callable[[Sequence[_I]], Sequence[_T | LabelRecord]], batch: Sequence[_I | LabelRecord]
) -> list[_T | LabelRecord]:
    """Run a stage on the images of a batch; rows that are known stay in their places."""
    images = [item for item in batch if not isinstance(item, LabelRecord)]
    passed = iter(_isolate(run, images))
    return [item if isinstance(item, LabelRecord) else next(passed) for item in batch]


def _isolate(
    run: Callable[[Sequence[_I]], Sequence[_T | LabelRecord]], images: Sequence[_I]
) -> Sequence[_T | LabelRecord]:
    """Run a stage on images; where that fails, halve until the ones to blame are alone.

    Halving also answers running out of memory: a smaller batch needs less.
    """
    if not images:
        return []
    try:
        return run(images)
    except Exception as error:  # noqa: BLE001 - an image's failure is its row; a bug is logged below
        if len(images) == 1:
            return [_fail(images[0].record, images[0].size_hw, error)]
        if is_out_of_memory(error):
            _release_memory()
    middle = len(images) // 2
    return [*_isolate(run, images[:middle]), *_isolate(run, images[middle:])]


def _finish(image: _Image, objects: Any) -> LabelRecord:
    height, width = image.size_hw
    return LabelRecord.labelled(image.record, width, height, objects, image.warning, image.phash)


def _fail(record: ImageRecord, size_hw: tuple[int, int] | None, error: Exception) -> LabelRecord:
    """Return the row of an image that failed; `size_hw` is None where it was not decoded."""
    height, width = size_hw or (None, None)
    return LabelRecord.failed(record, _describe(error, record), width, height)


def _describe(error: Exception, record: ImageRecord) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, OvsamError):
        return f"{MODEL_ERROR}: {error}"
    if is_out_of_memory(error):
        _release_memory()
        return f"{OUT_OF_MEMORY}; a smaller --max-det or --dtype bf16 needs less"
    logger.error("%s (image id %s): %r", record.file_name, record.image_id, error, exc_info=error)
    return f"{INTERNAL_ERROR}: {type(error).__name__}: {error}"


def _release_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _count_bytes(images: Sequence[_DecodedImage | LabelRecord]) -> int:
    return sum(image.rgb.nbytes for image in images if isinstance(image, _DecodedImage))


def _group(
    items: Iterator[_DecodedImage | LabelRecord], size: int
) -> Iterator[list[_DecodedImage | LabelRecord]]:
    """Yield batches: of fewer images where they are huge."""
    batch: list[_DecodedImage | LabelRecord] = []
    for item in items:
        batch.append(item)
        del item  # for the same reason as in `_receive`
        if len(batch) == size or _count_bytes(batch) > _MOST_BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
