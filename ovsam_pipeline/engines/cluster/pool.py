"""The workers of a run as the driver sees them: what can be asked of them, and what they answer.

`ray_pool` implements `WorkerPool` with Ray's actors; tests with workers in one process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ovsam.errors import OvsamError
from ovsam_pipeline.engines.worker import ShardResult, WorkerInfo
from ovsam_pipeline.monitoring.report import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ovsam_pipeline.engines.cluster.node_setup import Probe
    from ovsam_pipeline.engines.cluster.schedule import Shard
    from ovsam_pipeline.engines.cluster.size import ClusterSize
    from ovsam_pipeline.labelling.labeller import RunFacts
    from ovsam_pipeline.output.parts import PartWriter

NODE_LOST = "its node was lost"


@dataclass(eq=False)
class PoolWorker:
    """What the driver knows of a worker.

    Attributes:
        node: the cluster's id of its node, once it has loaded.
        info: None until it has loaded.
        is_working: whether it has opened the output of the run, and so may get shards.
        is_stopped: whether the driver has stopped it; later answers are ignored.
        is_asked: whether it was asked for its state and has not answered.
    """

    name: str = "starting"
    node: str = ""
    info: WorkerInfo | None = None
    is_working: bool = False
    is_stopped: bool = False
    is_asked: bool = False
    asked_s: float = 0.0

    def register(self, loaded: Loaded) -> None:
        """Take what the worker reports once it has loaded."""
        self.name, self.node, self.info = loaded.name, loaded.node, loaded.info


class WorkerDiedError(Exception):
    """A worker will not answer any more; the text is how it ended."""


@dataclass(frozen=True)
class Loaded:
    """A worker has loaded model, detector and vocabulary."""

    name: str
    node: str
    info: WorkerInfo


@dataclass(frozen=True)
class Opened:
    """A worker has opened the output of the run."""


@dataclass(frozen=True)
class Answer:
    """What one worker answered to one call; the type of `value` shows which call it was."""

    worker: PoolWorker
    value: Loaded | Opened | ShardResult | WorkerState | OvsamError | WorkerDiedError


class WorkerPool(Protocol):
    """The workers of a run. Calls return at once; what they lead to comes from `wait`.

    Attributes:
        facts: what the labels depend on, by the first worker.
        size: how many workers there may be, and what each holds.
        workers: all that are not stopped, those that still load among them.
        accepted_parts: file names of the parts that workers reported.
    """

    facts: RunFacts
    size: ClusterSize
    workers: list[PoolWorker]
    accepted_parts: set[str]

    def measure(self) -> None:
        """Update `size` to the nodes that there are now."""

    def list_nodes(self) -> set[str]:
        """Return the ids of the nodes that are alive."""

    def start_worker(self) -> None:
        """Start a worker, which loads when the cluster has room for it: `Loaded`."""

    def begin_run(self, writer: PartWriter, probe: Probe) -> None:
        """Take the output of a run; drop answers that are left of the run before."""

    def open_output(self, worker: PoolWorker) -> None:
        """Give a worker the output of the run: `Opened`."""

    def assign(self, worker: PoolWorker, shard: Shard) -> None:
        """Give a worker a shard, which waits there until those before are done: `ShardResult`."""

    def ask_state(self, worker: PoolWorker, now_s: float) -> None:
        """Ask a worker for its state, also while it labels: `WorkerState`."""

    def request_stop(self, worker: PoolWorker) -> None:
        """Ask a worker to finish the current image and commit."""

    def stop_worker(self, worker: PoolWorker) -> None:
        """End a worker, dead or alive."""

    def wait(self) -> list[Answer]:
        """Wait a moment for an answer, and return all that have come; none of stopped workers."""

    def log_notes(self, notes: Iterable[tuple[int, str]]) -> None:
        """Log what workers logged, (level, message); the same sentence once."""


def describe_death(text: str) -> str:
    """Return in a few words how a worker ended, from the long text of Ray."""
    missing = re.search(r"No module named '([\w.]+)'", text)
    if missing:
        return (
            f"its Python has no module {missing[1]}; install the same ovsam, with all that it "
            "needs, on every node, into the Python that Ray runs with"
        )
    small = " ".join(text.split()).lower()
    # "out of memory" would not do: Ray names the kernel's OOM killer as a possible cause of every
    # death.
    if "running low" in small or "outofmemory" in small:
        return "its node ran low on memory, and Ray ended it"
    if "node" in small and ("node has died" in small or "node was" in small):
        return NODE_LOST
    return "its process died: killed, out of memory, or a crash in a library"
