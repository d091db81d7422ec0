"""Train on a Ray cluster: one actor a GPU (or a few CPUs), which form one group of processes.

The actors run the very function that `torchrun` would run, with the same environment; Ray starts
them, and starts all of them again from the last checkpoint when one dies. The run's folder must be
the same for all nodes. Labelling on a cluster is `engines/cluster/`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ovsam.errors import ConfigError, OvsamError, TrainingError
from ovsam.training.loop.stopping import RunStoppedError, catch_stop_signals, stop_signal
from ovsam_pipeline.engines.cluster.connection import Head, connect
from ovsam_pipeline.engines.cluster.node_setup import DriverEnvironment
from ovsam_pipeline.engines.cluster.pool import describe_death
from ovsam_pipeline.terminal.bars import LogFollower
from ovsam_pipeline.training.request import StageRequest
from ovsam_pipeline.training.stages import run_stage

logger = logging.getLogger(__name__)

RunStage = Callable[[StageRequest], None]

_WAIT_S = 0.5
# What the others need to notice that one is gone.
_COLLECT_TIMEOUT_S = 20.0
_START_S = 120.0


@dataclass(frozen=True, kw_only=True)
class RaySize:
    """What a training takes of a cluster.

    Attributes:
        address: Of the cluster; None: Ray is started on this machine.
        max_restarts: How often the run may be started again after a worker's death.
    """

    num_workers: int
    threads: int = 1
    address: str | None = None
    max_restarts: int = 3

    def __post_init__(self) -> None:
        """Refuse a training without workers."""
        if self.num_workers < 1:
            raise ConfigError(f"expected --num-workers of at least 1, got {self.num_workers}")


class WorkerLostError(Exception):
    """A worker died; the others cannot continue without it."""


class _Trainer:
    """One process of the group, in an actor."""

    def __init__(self, home: DriverEnvironment) -> None:
        home.apply()

    def find_free_address(self) -> tuple[str, int]:
        """Return an address of this machine and a free port, for the group to meet at."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def train(
        self, run: RunStage, request: StageRequest, environment: dict[str, str], threads: int
    ) -> None:
        """Run the stage as one process of the group."""
        import torch

        from ovsam.training.loop.distributed import leave_ranks

        os.environ.update(environment)
        torch.set_num_threads(threads)
        stop_signal.clear()
        try:
            run(request)
        finally:
            leave_ranks()

    @ray.method(concurrency_group="watch")
    def stop(self, number: int) -> None:
        """Ask for the end as a signal does."""
        stop_signal.request(number)

    @ray.method(concurrency_group="watch")
    def look(self) -> int:
        """Return the process's number, once it is there."""
        return os.getpid()


def train_on_ray(request: StageRequest, size: RaySize, run: RunStage = run_stage) -> None:
    """Run a stage on a cluster.

    `request`: the stage; its paths must be good on every node.
    """
    is_ours = not ray.is_initialized()
    head = connect(size.address) if is_ours else Head(is_ours=False)
    try:
        with catch_stop_signals():
            _train_with_restarts(_make_absolute(request), size, run, head)
    finally:
        if is_ours:
            ray.shutdown()


def _train_with_restarts(request: StageRequest, size: RaySize, run: RunStage, head: Head) -> None:
    log = LogFollower(request.out / "log.jsonl")
    for restarts in range(size.max_restarts + 1):
        try:
            _train_once(request, size, run, log, head)
            return
        except WorkerLostError as error:
            if restarts == size.max_restarts:
                raise TrainingError(
                    f"workers died {restarts + 1} times, the last one: {error}; the same command "
                    f"resumes from the last checkpoint in {request.out}"
                ) from error
            logger.warning("a worker died (%s); starting again from the last checkpoint", error)


def _train_once(
    request: StageRequest, size: RaySize, run: RunStage, log: LogFollower, head: Head
) -> None:
    """Start the actors, let them train, and end them."""
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    _check_room(size, has_gpus)
    options: dict[str, Any] = {
        "num_cpus": size.threads,
        "num_gpus": 1 if has_gpus else 0,
        "max_restarts": 0,
        "max_task_retries": 0,
        "concurrency_groups": {"watch": 1},
    }
    actor_class: Any = ray.remote(**options)(_Trainer)
    actors = [actor_class.remote(DriverEnvironment.describe()) for _ in range(size.num_workers)]
    try:
        _wait_for_start(actors)
        host, port = _get(actors[0].find_free_address.remote())
        orders = [
            actor.train.remote(run, request, _describe_rank(rank, size, host, port), size.threads)
            for rank, actor in enumerate(actors)
        ]
        _watch(actors, orders, log, head)
    finally:
        for actor in actors:
            with suppress(RayError):
                ray.kill(actor)


def _watch(actors: Sequence[Any], orders: Sequence[Any], log: LogFollower, head: Head) -> None:
    """Pass wishes on and show the log until all have ended, or one has failed."""
    waiting, is_passed_on = list(orders), False
    while waiting:
        head.wait_for()
        if stop_signal.is_requested and not is_passed_on:
            is_passed_on = True
            number = signal.SIGINT if stop_signal.counts[1] else signal.SIGTERM
            for actor in actors:
                actor.stop.remote(int(number))
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=_WAIT_S)
        log.show()
        for order in ready:
            try:
                _get(order)
            except RunStoppedError:
                _collect(waiting)
                log.show()
                raise
            except (OvsamError, WorkerLostError, RayTaskError) as error:
                raise _blame(error, waiting) from error


def _blame(error: Exception, waiting: Sequence[Any]) -> Exception:
    """Return what a run ended by: a death and a mistake of the user go before what they led to."""
    errors = [error, *_collect(waiting)]
    for kind in (OvsamError, WorkerLostError):
        for found in errors:
            if isinstance(found, kind):
                return found
    return errors[0]


def _collect(waiting: Sequence[Any]) -> list[Exception]:
    """Return how the others ended, as far as they do so soon."""
    errors: list[Exception] = []
    if waiting:
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=_COLLECT_TIMEOUT_S)
        for order in ready:
            try:
                _get(order)
            except (OvsamError, RunStoppedError, WorkerLostError, RayTaskError) as error:
                errors.append(error)
    return errors


def _get(order: Any) -> Any:
    """Return an answer; errors of ours come as themselves."""
    try:
        return ray.get(order)
    except RayTaskError as error:
        if isinstance(error.cause, OvsamError | RunStoppedError):
            raise error.cause from error
        raise
    except RayError as error:  # the last, as the other is one of its kind
        raise WorkerLostError(describe_death(str(error))) from error


def _wait_for_start(actors: Sequence[Any]) -> None:
    """Wait until every actor is there."""
    looks = [actor.look.remote() for actor in actors]
    ready, missing = ray.wait(looks, num_returns=len(looks), timeout=_START_S)
    if missing:
        raise ConfigError(
            f"expected {len(looks)} workers to start in {_START_S:.0f} s, got {len(ready)}; wait "
            "until the cluster is free, or give fewer --num-workers"
        )
    for look in looks:
        _get(look)


def _check_room(size: RaySize, has_gpus: bool) -> None:
    """Refuse what the cluster can never give."""
    name, each = ("GPU", 1) if has_gpus else ("CPU", size.threads)
    total = int(ray.cluster_resources().get(name, 0))
    if total < each * size.num_workers:
        raise ConfigError(
            f"expected {each * size.num_workers} {name}s for {size.num_workers} workers, the "
            f"cluster has {total}; give fewer --num-workers"
        )


def _describe_rank(rank: int, size: RaySize, host: str, port: int) -> dict[str, str]:
    """The environment that `torchrun` gives; of GPUs, Ray shows each actor one."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(size.num_workers),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
    }


def _make_absolute(request: StageRequest) -> StageRequest:
    """Return a request whose paths do not depend on a process's working folder."""
    changes: dict[str, Any] = {"init": tuple(path.resolve() for path in request.init)}
    for name in ("out", "config", "data", "images"):
        path = getattr(request, name)
        if isinstance(path, Path):
            changes[name] = path.resolve()
    return replace(request, **changes)
