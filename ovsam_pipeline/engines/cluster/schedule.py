"""Which worker labels which images next, and what becomes of a shard whose worker died.

Images are drawn from the plan as workers need them, in shards that take a worker about twenty
seconds, near the end less, down to one. A shard is returned when its worker dies. The one that was
running is suspected: after its second death it is cut into pieces, and an image that is alone in
its shard is given up. Shards that were waiting at the worker are not suspected.

Pure decisions, without Ray, files or a clock: callers pass the time, in seconds of any clock. A
decision costs the same for any number of workers and images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from ovsam_pipeline.outcomes import WORKER_DIED
from ovsam_pipeline.records import ImageRecord

# One is labelled, one waits at the worker, so that the worker never waits for the driver.
SHARDS_PER_WORKER = 2
# A shard costs a commit and an idle moment of the network, so even the last ones take a second.
_SHARD_S, _LEAST_SHARD_S = 20.0, 1.0
# Before the pace is known: small, so that the first worker leaves something for the others.
_FIRST_IMAGES = 8
_PIECES = 8
# Once may be chance: another process of the machine took the memory.
_MOST_DEATHS = 2
# A node may be lost for any reason, but a shard that loses this many is likely to be the cause.
_MOST_NODES_LOST = 5
# The first image of a worker may take longer: libraries are loaded and kernels compiled.
_FIRST_IMAGE_FACTOR = 2.0
# The weight of the last shard in the pace, which so follows a change within a few shards.
_SMOOTHING = 0.3


@dataclass(slots=True)
class Shard:
    """Images that one worker labels and commits together.

    Attributes:
        deaths: number of workers that died while they labelled it.
        is_piece: whether it was cut from a shard that killed its workers.
        nodes_lost: number of workers that were lost with their nodes while they labelled it.
    """

    number: int
    images: list[ImageRecord]
    deaths: int = 0
    is_piece: bool = False
    nodes_lost: int = 0


@dataclass(frozen=True)
class GivenUp:
    """An image that becomes a failed row."""

    image: ImageRecord
    reason: str


@dataclass(frozen=True)
class Loss:
    """What became of the shards of a lost worker, besides those that are labelled again.

    Attributes:
        committed: shards whose part exists: the worker died between commit and answer.
    """

    committed: list[Shard] = field(default_factory=list)
    given_up: list[GivenUp] = field(default_factory=list)


@dataclass(slots=True)
class _Assignment:
    """The shards of a worker, the running one first.

    Attributes:
        num_done: images that the worker has labelled in this run.
        num_before: those of them that were in shards that are finished.
        progress_s: when the worker last finished an image, or began.
    """

    shards: deque[Shard] = field(default_factory=deque)
    num_done: int = 0
    num_before: int = 0
    progress_s: float = 0.0


class Schedule:
    """The shards of a run.

    Args:
        images: drawn as needed, so they may come from a file of millions.
        batch: number of images that a worker labels at a time: one that hangs may be any of them.
    """

    def __init__(
        self, images: Iterable[ImageRecord], num_images: int, most_images: int, batch: int = 1
    ) -> None:
        self._images = iter(images)
        self._num_left = num_images
        self._most_images = most_images
        self._batch = batch
        self._returned: deque[Shard] = deque()
        self._assigned: dict[str, _Assignment] = {}
        self._num_in_flight = 0
        self._num_expected = 0
        self._is_closed = False
        self._pace: float | None = None
        self._next_number = 0

    @property
    def num_undrawn(self) -> int:
        """Number of images that no worker has now."""
        return self._num_left + sum(len(shard.images) for shard in self._returned)

    @property
    def is_idle(self) -> bool:
        """Whether no worker has a shard."""
        return self._num_in_flight == 0

    @property
    def is_over(self) -> bool:
        """Whether everything was labelled or given up."""
        return not self._returned and self._num_left == 0 and self.is_idle

    def close(self) -> None:
        """Give out no more shards, because the run stops early."""
        self._is_closed = True
        self._num_left = 0
        self._returned.clear()

    def set_expected_workers(self, num_workers: int) -> None:
        """Set how many workers there will be, so that the first leave a share for the others."""
        self._num_expected = num_workers

    def add_worker(self, worker: str, now_s: float) -> None:
        """Add a worker that is ready for shards."""
        self._assigned[worker] = _Assignment(progress_s=now_s)

    def next_shard(self, worker: str, now_s: float) -> Shard | None:
        """Return the next shard for a worker; None where it has enough, or none is left."""
        assigned = self._assigned[worker]
        if len(assigned.shards) >= SHARDS_PER_WORKER:
            return None
        shard = self._returned.popleft() if self._returned else self._draw()
        if shard is None:
            return None
        if not assigned.shards:
            assigned.progress_s = now_s
        assigned.shards.append(shard)
        self._num_in_flight += 1
        return shard

    def note_progress(self, worker: str, num_done: int, now_s: float) -> None:
        """Record how many images a worker has labelled in this run."""
        assigned = self._assigned.get(worker)
        if assigned is not None and num_done != assigned.num_done:
            assigned.num_done, assigned.progress_s = num_done, now_s

    def finish(self, worker: str, number: int, seconds: float, now_s: float) -> Shard:
        """Record that a worker has committed a shard, on which it spent `seconds`."""
        assigned = self._assigned[worker]
        shard = next(shard for shard in assigned.shards if shard.number == number)
        assigned.shards.remove(shard)
        self._num_in_flight -= 1
        assigned.progress_s = now_s
        assigned.num_before += len(shard.images)
        pace = len(shard.images) / max(seconds, 1e-6)
        self._pace = pace if self._pace is None else self._pace + _SMOOTHING * (pace - self._pace)
        return shard

    def lose_worker(
        self,
        worker: str,
        why: str,
        is_committed: Callable[[Shard], bool],
        *,
        is_blamed: bool,
        is_hung: bool = False,
    ) -> Loss:
        """Remove a worker and take its shards back.

        `why`: becomes part of the reason of images that are given up. `is_blamed`: whether its
        running shard may be the cause: not when its node was lost. `is_hung`: whether it hung, so
        that the image is known at which it did.
        """
        assigned = self._assigned.pop(worker, None)
        loss = Loss()
        if assigned is None:
            return loss
        self._num_in_flight -= len(assigned.shards)
        back: list[Shard] = []
        for place, shard in enumerate(assigned.shards):
            if place == 0 and not is_blamed and not is_hung:
                shard.nodes_lost += 1
            if is_committed(shard):
                loss.committed.append(shard)
            elif place == 0 and is_hung and len(shard.images) > self._batch:
                back += self._cut_out(shard, assigned.num_done - assigned.num_before)
            elif place == 0 and (is_blamed or shard.nodes_lost >= _MOST_NODES_LOST):
                back += self._suspect(shard, why, loss)
            else:
                back.append(shard)
        if not self._is_closed:
            self._returned.extendleft(reversed(back))
        return loss

    def reset_clocks(self, now_s: float) -> None:
        """Measure from now on how long workers make no progress: the driver itself was away."""
        for assigned in self._assigned.values():
            assigned.progress_s = now_s

    def find_hung(self, now_s: float, timeout_s: float) -> list[str]:
        """Return the workers that have a shard and have not finished an image for so long."""
        return [
            worker
            for worker, assigned in self._assigned.items()
            if assigned.shards
            and now_s - assigned.progress_s
            > timeout_s * (1.0 if assigned.num_done else _FIRST_IMAGE_FACTOR)
        ]

    def _draw(self) -> Shard | None:
        if self._num_left <= 0:
            return None
        images = list(islice(self._images, self._choose_size()))
        if not images:
            self._num_left = 0
            return None
        self._num_left -= len(images)
        return self._make(images)

    def _choose_size(self) -> int:
        most, least = _FIRST_IMAGES, 1
        if self._pace is not None:
            most = round(self._pace * _SHARD_S)
            # At most as many as at first: images that fail at once make the pace look high.
            least = min(_FIRST_IMAGES, round(self._pace * _LEAST_SHARD_S))
        # Near the end shards shrink, so that none keeps the run waiting for one worker.
        num_workers = max(1, len(self._assigned), self._num_expected)
        share = self._num_left // (SHARDS_PER_WORKER * num_workers)
        return max(1, min(most, self._most_images, max(least, share)))

    def _suspect(self, shard: Shard, why: str, loss: Loss) -> list[Shard]:
        """Return what to try next of a shard at which a worker died."""
        shard.deaths += 1
        is_alone = len(shard.images) == 1
        if shard.deaths < _MOST_DEATHS and (is_alone or not shard.is_piece):
            return [shard]
        if not is_alone:
            return [self._make(piece, is_piece=True) for piece in _cut(shard.images)]
        reason = (
            f"{WORKER_DIED} {shard.deaths} times while it was labelled ({why}); it was tried "
            "alone, so the image is to blame, or too large for the worker"
        )
        loss.given_up.append(GivenUp(shard.images[0], reason))
        return []

    def _cut_out(self, shard: Shard, position: int) -> list[Shard]:
        """Return one shard of the images at which a worker hung, and shards of the others."""
        start = max(0, min(position, len(shard.images) - 1))
        end = start + self._batch
        suspects = self._make(shard.images[start:end], is_piece=True)
        suspects.deaths = 1 if len(suspects.images) == 1 else 0
        others = [self._make(some) for some in (shard.images[:start], shard.images[end:]) if some]
        return [suspects, *others]

    def _make(self, images: list[ImageRecord], is_piece: bool = False) -> Shard:
        self._next_number += 1
        return Shard(self._next_number, images, is_piece=is_piece)


def _cut(images: list[ImageRecord]) -> Iterator[list[ImageRecord]]:
    """Yield at most _PIECES pieces of nearly equal length."""
    size = -(-len(images) // _PIECES)
    for start in range(0, len(images), size):
        yield images[start : start + size]
