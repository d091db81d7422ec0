"""Label on a Ray cluster: one actor a GPU (or a few CPUs), one shard after another each.

The driver lists, plans, hands out shards and counts; it loads no model. An actor decodes, detects,
segments and writes its own part, so neither pixels nor masks cross the network. Whatever dies, the
driver knows which shards were there and gives them to others; `scheduling.py` decides, this file
asks Ray.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ovsam.errors import OvsamError
from ovsam_pipeline.engines.cluster.address import (
    check_address,
    check_device,
    explain_cluster,
    reach_address,
)
from ovsam_pipeline.engines.cluster.checks import Probe, check_facts, check_version, name_node
from ovsam_pipeline.engines.cluster.driver_environment import DriverEnvironment
from ovsam_pipeline.engines.cluster.member import Member, WorkerDiedError, describe_death
from ovsam_pipeline.engines.cluster.run import ClusterRun
from ovsam_pipeline.engines.cluster.schedule import Shard
from ovsam_pipeline.engines.cluster.size import ClusterSize, choose_size
from ovsam_pipeline.engines.engine import Work
from ovsam_pipeline.engines.worker import ShardResult, Worker, WorkerInfo
from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.labelling.facts import RunFacts
from ovsam_pipeline.labelling.labeller import BuildLabeller
from ovsam_pipeline.monitoring.report import RunSummary, WorkerState
from ovsam_pipeline.output.parts import PartWriter
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.settings.label import LabelConfig

logger = logging.getLogger(__name__)

_WAIT_S = 0.5
_PATIENCE_S = 30.0
_MOST_SCOUTS = 3


class _Actor:
    """A `Worker` in a process of Ray's; `look` and `stop` are answered while it labels."""

    def __init__(
        self, order: tuple[LabelConfig, BuildLabeller, DriverEnvironment], num_threads: int | None
    ) -> None:
        config, build, self._home = order
        self._home.apply()
        self._worker = Worker(config, build, num_threads)

    def load(
        self, texts: dict[str, bytes], folder: str, *, is_first: bool
    ) -> tuple[str, WorkerInfo]:
        node = ray.get_runtime_context().get_node_id()
        try:
            return node, self._worker.load(texts, folder, is_first=is_first)
        except OvsamError as error:
            # On the driver's own machine the sentence is as without a cluster.
            raise (error if self._home.is_here else name_node(error, platform.node())) from error

    def begin(self, writer: PartWriter, probe: Any) -> None:
        self._worker.begin(writer, probe)

    def label(self, number: int, images: list[ImageRecord]) -> ShardResult:
        return self._worker.label(number, images)

    @ray.method(concurrency_group="watch")
    def look(self) -> WorkerState:
        return self._worker.look()

    @ray.method(concurrency_group="watch")
    def stop(self) -> None:
        self._worker.stop()


class Crew:
    """The actors of a run; the first of them, the scout, tells what the labels will depend on.

    Attributes:
        name: "ray".
        facts: of the labels.
        accepted_parts: file names of the parts that the actors reported.
        size: how many actors, and what each holds.
    """

    name = "ray"

    def __init__(self, config: LabelConfig, build: BuildLabeller) -> None:
        self.accepted_parts: set[str] | None = set()
        self.members: list[Member] = []
        self._pending: dict[Any, tuple[Member, str]] = {}
        self.size = _measure(config)
        self._device = self.size.choose_device(config.device)
        self._order = ray.put(
            (replace(config, device=self._device), build, DriverEnvironment.describe())
        )
        self._texts: Any = ray.put({})
        self._notes: set[str] = set()
        info = self._wait_for_scout()
        self.facts: RunFacts = info.facts
        resolved = replace(info.facts.config, device=self._device)
        self._order = ray.put((resolved, build, DriverEnvironment.describe()))
        self._texts = ray.put(info.texts)

    def hire(self, *, is_first: bool = False) -> Member:
        """Start an actor; it loads when the cluster has room for it."""
        options: dict[str, Any] = {
            "num_cpus": self.size.cpus,
            "num_gpus": self.size.gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "concurrency_groups": {"watch": 2},
        }
        actor = ray.remote(**options)(_Actor)
        threads = None if self.size.gpus else int(self.size.cpus)
        member = Member(actor.remote(self._order, threads))
        loading = member.handle.load.remote(self._texts, str(Path.cwd()), is_first=is_first)
        self._pending[loading] = member, "load"
        self.members.append(member)
        return member

    def welcome(self, member: Member, ref: Any, expected: RunFacts | None) -> WorkerInfo:
        """Take the answer of an actor that has loaded.

        Raises:
            OvsamError: it cannot load, or is not like the first one.
            WorkerDiedError: it died.
        """
        member.node, member.info = _get(ref, None)
        member.name = f"{member.info.host}:{member.info.process}"
        self.show_notes(member.info.notes)
        check_version(member.info.host, member.info.version)
        if expected is not None:
            check_facts(member.info.host, expected, member.info.facts)
        return member.info

    def dismiss(self, member: Member) -> None:
        """End an actor, dead or alive."""
        member.is_gone = True
        with suppress(ValueError):
            self.members.remove(member)
        with suppress(Exception):
            ray.kill(member.handle)

    def measure(self) -> None:
        """Look how large the cluster is now."""
        self.size = _measure(self.facts.config, self.size)

    def put(self, value: Any) -> Any:
        """Keep a value for the actors; returns what stands for it."""
        return ray.put(value)

    def get(self, ref: Any, host: str | None) -> Any:
        """Return an answer; see `_get`."""
        return _get(ref, host)

    def list_nodes(self) -> set[str]:
        """Return the nodes that are alive."""
        return {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def wait(self) -> list[tuple[Member, str, Any]]:
        """Return the answers that are there: who, to what, and the reference to `get` it by.

        Waits a moment for the first one. Those of actors that were dismissed are left out.
        """
        if not self._pending:
            time.sleep(_WAIT_S)
            return []
        ready, rest = ray.wait(list(self._pending), num_returns=1, timeout=_WAIT_S)
        if ready and rest:
            more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
            ready += more
        answers = [(*self._pending.pop(ref), ref) for ref in ready]
        return [answer for answer in answers if not answer[0].is_gone]

    def forget_answers(self) -> None:
        """Leave out what actors still have to say of an earlier run."""
        self._pending = {ref: asked for ref, asked in self._pending.items() if asked[1] == "load"}
        for member in self.members:
            member.is_working = member.is_looked_at = False

    def begin(self, member: Member, writer: Any, probe: Probe) -> None:
        """Give an actor the output."""
        self._pending[member.handle.begin.remote(writer, probe.path)] = member, "begin"

    def assign(self, member: Member, shard: Shard) -> None:
        """Give an actor a shard; it waits there until those before are done."""
        self._pending[member.handle.label.remote(shard.number, shard.images)] = member, "label"

    def look(self, member: Member, now_s: float) -> None:
        """Ask an actor how it stands."""
        member.is_looked_at, member.looked_s = True, now_s
        self._pending[member.handle.look.remote()] = member, "look"

    def stop(self, member: Member) -> None:
        """Ask an actor to finish the image in hand and commit."""
        member.handle.stop.remote()

    def show_notes(self, notes: Iterable[tuple[int, str]]) -> None:
        """Log what workers logged, the same sentence once."""
        for level, message in notes:
            if message not in self._notes:
                self._notes.add(message)
                logger.log(level, "%s", message)

    def check_images(self, images: Iterable[ImageRecord]) -> list[str]:
        """See `Engine`; boxes of a file are read here as well, which needs no model."""
        from ovsam_pipeline.labelling.labeller import build_run_detector

        if (
            not self.facts.config.detector.startswith(("boxes:", "gt:"))
            or self.facts.config.relabel
        ):
            return []
        _, detector = build_run_detector(self.facts.config, None)
        return detector.check_images(images)

    def _wait_for_scout(self) -> WorkerInfo:
        """Start the first actor, and another one if it dies; say so where there is no room yet."""
        for tries_left in reversed(range(_MOST_SCOUTS)):
            scout = self.hire(is_first=True)
            (ref,) = self._pending
            ready, _ = ray.wait([ref], timeout=_PATIENCE_S)
            if not ready:
                logger.info("waiting for the first worker, which loads: %s", self.size.describe())
            del self._pending[ref]
            try:
                return self.welcome(scout, ref, None)
            except WorkerDiedError as error:
                self.dismiss(scout)
                if not tries_left:
                    raise ShardError(
                        f"the first worker cannot start: {error} (one image with --engine local "
                        "tells more)"
                    ) from error
                logger.warning("the first worker is lost, another one loads: %s", error)
        raise AssertionError("unreachable")

    def label(self, work: Work) -> RunSummary:
        """See `Engine.label`; each actor has its own copy of the writer."""
        with Probe(work.writer.folder.parent) as probe:
            run = ClusterRun(work.plan, self, work.writer, work.report, probe)
            try:
                run.go_on(work.stop)
            finally:
                run.end(work.stats)
        return work.report.conclude(work.stop)


@contextmanager
def open_crew(config: LabelConfig, build: BuildLabeller) -> Iterator[Crew]:
    """Connect to a cluster, or start Ray on this machine, and load the first worker.

    Args:
        config: the settings.
        build: settings → Labeller; runs in the actors.

    Raises:
        ConfigError: the cluster does not answer, or has not what is asked for.
        OvsamError: as `build`.
    """
    check_device(config.device)
    is_ours = not ray.is_initialized()
    if is_ours:
        connect(config.address)
    crew = None
    try:
        crew = Crew(config, build)
        yield crew
    finally:
        for member in list(crew.members) if crew else []:
            crew.dismiss(member)  # type: ignore[union-attr]
        if is_ours:
            ray.shutdown()


def _get(ref: Any, host: str | None) -> Any:
    """Return an answer; an error of ours comes as itself, with its machine.

    Raises:
        OvsamError: the actor raised it.
        WorkerDiedError: the actor died, or is not to be trusted any more.
    """
    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, OvsamError):
            raise (name_node(cause, host) if host else cause) from error
        logger.debug("an actor failed", exc_info=error)
        raise WorkerDiedError(f"{type(cause).__name__}: {cause}") from error
    except RayError as error:  # the last, as the other is one of its kind
        raise WorkerDiedError(describe_death(str(error))) from error


def connect(address: str | None) -> None:
    """Join a cluster, or start Ray on this machine.

    Args:
        address: "auto" or HEAD:6379; None: of RAY_ADDRESS, else none.

    Raises:
        ConfigError: it does not answer, or does not let us in.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    # "local" starts Ray anew: without it a cluster that someone left here would be joined.
    options: dict[str, Any] = {"address": "local", "include_dashboard": False}
    if address:
        check_address(address)
        reach_address(address)
        options = {"address": address}
    # Ray takes SIGTERM for itself.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, RayError, OSError, ValueError, SystemExit) as error:
        raise explain_cluster(error, address) from error
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, handler)


def _measure(config: LabelConfig, before: ClusterSize | None = None) -> ClusterSize:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return choose_size(config, nodes, before)
