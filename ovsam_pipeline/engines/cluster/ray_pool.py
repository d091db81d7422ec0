"""A `WorkerPool` of Ray's actors: one per GPU (or per few CPUs), each a process with a `Worker`.

The driver lists, plans, assigns shards and counts; it loads no model. An actor decodes, detects,
segments and writes its own part, so neither pixels nor masks cross the network. What to do with an
answer is decided in `run` and `schedule`; this file asks Ray.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

import ray
from ray.exceptions import RayError, RayTaskError

from ovsam.errors import OvsamError
from ovsam_pipeline.engines.cluster.connection import Head, connect
from ovsam_pipeline.engines.cluster.node_setup import (
    DriverEnvironment,
    Probe,
    check_version,
    name_node,
)
from ovsam_pipeline.engines.cluster.pool import (
    Answer,
    Loaded,
    Opened,
    PoolWorker,
    WorkerDiedError,
    describe_death,
)
from ovsam_pipeline.engines.cluster.run import label_on_pool
from ovsam_pipeline.engines.cluster.schedule import Shard
from ovsam_pipeline.engines.cluster.size import ClusterSize, check_device, choose_size
from ovsam_pipeline.engines.engine import Engine, Work
from ovsam_pipeline.engines.worker import ShardResult, Worker
from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.labelling.labeller import BuildLabeller, RunFacts
from ovsam_pipeline.monitoring.report import RunSummary, WorkerState
from ovsam_pipeline.output.parts import PartWriter
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.settings.label import LabelConfig

logger = logging.getLogger(__name__)

# The driver looks this often whether it has to stop.
_WAIT_S = 0.5
# Loading a model may well take this long; later a cluster without room is the likely reason.
_LOG_WAITING_AFTER_S = 30.0
_MOST_FIRST_WORKERS = 3


@dataclass(frozen=True)
class _Order:
    """What workers are started with."""

    config: LabelConfig
    build: BuildLabeller
    environment: DriverEnvironment


class _Actor:
    """A `Worker` in a process of Ray; `look` and `stop` are answered while it labels."""

    def __init__(self, order: _Order, num_threads: int | None) -> None:
        self._order = order
        order.environment.apply()
        self._worker = Worker(order.config, order.build, num_threads)

    def load(self, texts: dict[str, bytes], *, is_first: bool) -> Loaded:
        environment = self._order.environment
        try:
            environment.enter_folder(self._order.config.sources)
            info = self._worker.load(texts, is_first=is_first)
        except OvsamError as error:
            raise environment.name_node(error) from error
        node = ray.get_runtime_context().get_node_id()
        return Loaded(f"{info.host}:{info.process}", node, info)

    def begin(self, writer: PartWriter, probe: Probe) -> Opened:
        self._worker.begin(writer, probe)
        return Opened()

    def label(self, number: int, images: list[ImageRecord]) -> ShardResult:
        return self._worker.label(number, images)

    @ray.method(concurrency_group="watch")
    def look(self) -> WorkerState:
        return self._worker.look()

    @ray.method(concurrency_group="watch")
    def stop(self) -> None:
        self._worker.stop()


class _RayPool:
    """The engine "ray", and a `WorkerPool`, which describes the methods.

    What many workers get is stored once in Ray's object store: `order`, `texts` (embedded class
    names) and the writer of `_output` are references to it.
    """

    name = "ray"

    def __init__(
        self, size: ClusterSize, facts: RunFacts, order: Any, texts: Any, head: Head
    ) -> None:
        self.size, self.facts, self._head = size, facts, head
        self.workers: list[PoolWorker] = []
        self.accepted_parts: set[str] = set()
        self._order, self._texts = order, texts
        self._output: tuple[Any, Probe] | None = None
        self._actors: dict[PoolWorker, Any] = {}
        self._pending: dict[Any, PoolWorker] = {}
        self._logged: set[str] = set()

    @classmethod
    def start(cls, config: LabelConfig, build: BuildLabeller, head: Head) -> Self:
        """Load the first worker, which shows what the labels depend on.

        The others are started with its settings, in which "auto" is resolved, and need not embed
        the class names again.
        """
        size = _measure(config)
        device = size.choose_device(config.device)
        environment = DriverEnvironment.describe()
        order = ray.put(_Order(replace(config, device=device), build, environment))
        actor, loaded = _load_first_worker(order, size)
        facts, texts = loaded.info.facts, ray.put(loaded.info.texts)
        resolved = replace(facts.config, device=device)
        pool = cls(size, facts, ray.put(_Order(resolved, build, environment)), texts, head)
        worker = pool._add(actor)
        worker.register(loaded)
        pool.log_notes(loaded.info.notes)
        return pool

    def label(self, work: Work) -> RunSummary:
        return label_on_pool(work, self)

    def measure(self) -> None:
        self.size = _measure(self.facts.config, self.size)

    def list_nodes(self) -> set[str]:
        return {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def start_worker(self) -> None:
        actor, loading = _start_actor(self._order, self._texts, self.size, is_first=False)
        self._pending[loading] = self._add(actor)

    def begin_run(self, writer: PartWriter, probe: Probe) -> None:
        self._output = ray.put(writer), probe
        self._pending = {ref: worker for ref, worker in self._pending.items() if not worker.info}
        for worker in self.workers:
            worker.is_working = worker.is_asked = False

    def open_output(self, worker: PoolWorker) -> None:
        assert self._output is not None
        self._pending[self._actors[worker].begin.remote(*self._output)] = worker

    def assign(self, worker: PoolWorker, shard: Shard) -> None:
        labelling = self._actors[worker].label.remote(shard.number, shard.images)
        self._pending[labelling] = worker

    def ask_state(self, worker: PoolWorker, now_s: float) -> None:
        worker.is_asked, worker.asked_s = True, now_s
        self._pending[self._actors[worker].look.remote()] = worker

    def request_stop(self, worker: PoolWorker) -> None:
        self._actors[worker].stop.remote()

    def stop_worker(self, worker: PoolWorker) -> None:
        worker.is_stopped = True
        self.workers.remove(worker)
        _kill(self._actors.pop(worker))

    def wait(self) -> list[Answer]:
        self._head.wait_for()
        if not self._pending:
            time.sleep(_WAIT_S)
            return []
        # Wake up for the first one, then take all that are ready: waits cost time per reference.
        ready, rest = ray.wait(list(self._pending), num_returns=1, timeout=_WAIT_S)
        if ready and rest:
            more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
            ready += more
        answers = [(ref, self._pending.pop(ref)) for ref in ready]
        return [_read_answer(ref, worker) for ref, worker in answers if not worker.is_stopped]

    def log_notes(self, notes: Iterable[tuple[int, str]]) -> None:
        for level, message in notes:
            if message not in self._logged:
                self._logged.add(message)
                logger.log(level, "%s", message)

    def _add(self, actor: Any) -> PoolWorker:
        worker = PoolWorker()
        self._actors[worker] = actor
        self.workers.append(worker)
        return worker


@contextmanager
def open_pool(config: LabelConfig, build: BuildLabeller) -> Iterator[Engine]:
    """Connect to a cluster, or start Ray on this machine, and load the first worker."""
    check_device(config.device)
    is_ours = not ray.is_initialized()
    head = connect(config.address) if is_ours else Head(is_ours=False)
    try:
        pool = _RayPool.start(config, build, head)
        try:
            yield pool
        finally:
            for worker in list(pool.workers):
                pool.request_stop(worker)  # also reaches it where the head is gone
                pool.stop_worker(worker)
    finally:
        if is_ours:
            ray.shutdown()


def _measure(config: LabelConfig, before: ClusterSize | None = None) -> ClusterSize:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return choose_size(config, nodes, before)


def _load_first_worker(order: Any, size: ClusterSize) -> tuple[Any, Loaded]:
    """Return the first actor and what it loaded; start another one if it dies."""
    texts: Any = ray.put({})
    num_lost = 0
    while True:
        actor, loading = _start_actor(order, texts, size, is_first=True)
        ready, _ = ray.wait([loading], timeout=_LOG_WAITING_AFTER_S)
        if not ready:
            logger.info("waiting for the first worker, which loads: %s", size.describe())
        try:
            loaded: Loaded = _get(loading, None)
        except WorkerDiedError as error:
            _kill(actor)
            num_lost += 1
            if num_lost == _MOST_FIRST_WORKERS:
                raise ShardError(
                    f"the first worker cannot start: {error}; label one image with --engine local "
                    "to see the full error"
                ) from error
            logger.warning("the first worker died, another one loads: %s", error)
            continue
        check_version(loaded.info.host, loaded.info.version)
        return actor, loaded


def _start_actor(order: Any, texts: Any, size: ClusterSize, *, is_first: bool) -> tuple[Any, Any]:
    """Return a new actor and the reference to what it will have loaded."""
    options: dict[str, Any] = {
        "num_cpus": size.cpus,
        "num_gpus": size.gpus,
        # The driver starts another one itself: it has to know which shards were lost.
        "max_restarts": 0,
        "max_task_retries": 0,
        # Two threads: a state that waits for nvidia-smi must not hold up a stop.
        "concurrency_groups": {"watch": 2},
    }
    # Next to a GPU the CPUs decode, and torch's threads are left alone.
    num_threads = None if size.gpus else size.cpus
    actor: Any = ray.remote(**options)(_Actor).remote(order, num_threads)
    return actor, actor.load.remote(texts, is_first=is_first)


def _kill(actor: Any) -> None:
    with suppress(Exception):  # it is dead already
        ray.kill(actor)


def _read_answer(ref: Any, worker: PoolWorker) -> Answer:
    # A worker that loads names its machine itself, see `_Actor.load`.
    host = worker.name if worker.info else None
    try:
        return Answer(worker, _get(ref, host))
    except (OvsamError, WorkerDiedError) as error:
        return Answer(worker, error)


def _get(ref: Any, host: str | None) -> Any:
    """Return an actor's answer; raise its OvsamError with its machine, or a WorkerDiedError."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, OvsamError):
            raise (name_node(cause, host) if host else cause) from error
        logger.debug("an actor failed", exc_info=error)
        raise WorkerDiedError(f"{type(cause).__name__}: {cause}") from error
    except RayError as error:  # after RayTaskError, which is a RayError too
        raise WorkerDiedError(describe_death(str(error))) from error
