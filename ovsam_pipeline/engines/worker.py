"""A worker of a cluster: everything that labels, loaded once, and given one shard after another.

Input: settings and what builds a labeller from them; then lists of images. Output: parts in the
output folder, and small counts. The body of a Ray actor, but nothing here knows of Ray: a worker
can be tried in any process.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ovsam_pipeline.labelling.labeller import BuildLabeller, RunFacts
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.monitoring.report import WorkerState
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.records import ImageRecord

if TYPE_CHECKING:
    from ovsam_pipeline.engines.cluster.node_setup import Probe
    from ovsam_pipeline.labelling.labeller import Labeller
    from ovsam_pipeline.output.parts import PartWriter
    from ovsam_pipeline.settings.label import LabelConfig

_MOST_NOTES = 100


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker sends once it has loaded the model.

    Attributes:
        texts: cache files of embedded class names, from the first worker; else empty.
        notes: log records since the last time, (level, message).
    """

    host: str
    process: int
    version: str
    facts: RunFacts
    texts: dict[str, bytes]
    notes: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ShardResult:
    """What became of a shard.

    Attributes:
        part: file name of the part; None where no row was made before a stop.
        seconds: time that the worker spent on it.
        stage_seconds: busy time by stage.
        state: of the worker afterwards; of its GPU what `Worker.look` saw last.
        notes: log records since the last time, (level, message).
    """

    number: int
    tally: Tally
    part: str | None
    seconds: float
    stage_seconds: dict[str, float]
    dropped: Counter[str]
    state: WorkerState
    notes: tuple[tuple[int, str], ...]


class Worker:
    """Loads what labels, then labels shards; `look` and `stop` may be called meanwhile.

    `num_threads` is how many threads torch may use; None leaves its default.
    """

    def __init__(self, config: LabelConfig, build: BuildLabeller, num_threads: int | None) -> None:
        self._config, self._build, self._num_threads = config, build, num_threads
        self._labeller: Labeller | None = None
        self._writer: PartWriter | None = None
        self._stop = StopRequest()
        self._notes = _Notes()
        self._state = WorkerState("")
        self._seconds: Counter[str] = Counter()
        self._stats = ShardStats()

    def load(self, texts: dict[str, bytes], *, is_first: bool) -> WorkerInfo:
        """Load model, detector and vocabulary.

        The first worker embeds the class names and returns their cache files, which the others get
        as `texts`.
        """
        from ovsam.text.embedding_cache import collect_used_files, store_files
        from ovsam_pipeline.engines.cluster.node_setup import identify_code

        # Imported now, else the first image would seem to take seconds, or to hang.
        from ovsam_pipeline.labelling import label_images  # noqa: F401
        from ovsam_pipeline.output import parts  # noqa: F401

        if self._num_threads is not None:
            import torch

            torch.set_num_threads(self._num_threads)
        store_files(texts)
        with self._notes:
            self._labeller = self._build(self._config, None)
        return WorkerInfo(
            platform.node(),
            os.getpid(),
            identify_code(),
            self._labeller.facts,
            collect_used_files() if is_first else {},
            self._notes.take(),
        )

    def begin(self, writer: PartWriter, probe: Probe) -> None:
        """Open the output of a run: an OutputError where it is not seen or cannot be written."""
        probe.answer()
        self._writer = writer.without_limits()

    def label(self, number: int, images: list[ImageRecord]) -> ShardResult:
        """Label the images of a shard and commit their rows as one part."""
        from ovsam_pipeline.labelling.label_images import label_images

        assert self._labeller is not None
        assert self._writer is not None
        tally, self._stats, start_s = Tally(), ShardStats(), time.monotonic()
        self._state.state = "labelling"
        with self._notes:
            rows = label_images(images, self._labeller, self._stop, self._stats)
            with closing(rows):
                for row in rows:
                    self._writer.add(row)
                    tally.add(row)
                    self._state.done += 1
            write_s = time.perf_counter()
            part = self._writer.commit()
            self._stats.add_time("write", write_s)
        self._seconds.update(self._stats.seconds)
        seconds, dropped = dict(self._stats.seconds), self._stats.dropped
        self._state.state, self._stats = "idle", ShardStats()
        return ShardResult(
            number,
            tally,
            part,
            time.monotonic() - start_s,
            seconds,
            dropped,
            self._describe(),
            self._notes.take(),
        )

    def look(self) -> WorkerState:
        """Return the worker's state; the driver fills in `name` and `images_per_s`."""
        from ovsam_pipeline.engines.gpu_usage import update_gpu

        if self._labeller is not None:
            update_gpu(self._state, self._labeller.facts.config.device)
        return self._describe()

    def _describe(self) -> WorkerState:
        """Return the state; of the GPU what was seen last, as `nvidia-smi` is slow to start."""
        seconds = self._seconds + Counter(self._stats.seconds)
        return replace(self._state, stage_seconds=dict(seconds))

    def stop(self) -> None:
        """Finish the image in hand, commit the part and label no more."""
        self._stop.request("interrupted")


class _Notes(logging.Handler):
    """Keeps log records of this package while a block runs: the driver cannot see this terminal."""

    _LOGGERS = ("ovsam", "ovsam_pipeline")

    def __init__(self) -> None:
        super().__init__()
        self._kept: deque[tuple[int, str]] = deque(maxlen=_MOST_NOTES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; of too many the oldest are forgotten."""
        self._kept.append((record.levelno, record.getMessage()))

    def take(self) -> tuple[tuple[int, str], ...]:
        """Return what was kept, and forget it."""
        self.acquire()  # `emit` is called with this lock, from any thread
        try:
            kept = tuple(self._kept)
            self._kept.clear()
        finally:
            self.release()
        return kept

    def __enter__(self) -> None:
        for name in self._LOGGERS:
            logging.getLogger(name).addHandler(self)
            logging.getLogger(name).setLevel(logging.INFO)

    def __exit__(self, *error: object) -> None:
        for name in self._LOGGERS:
            logging.getLogger(name).removeHandler(self)
