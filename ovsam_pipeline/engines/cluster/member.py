"""A worker as the driver knows it, and how one ends. Nothing here knows of Ray."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ovsam_pipeline.engines.worker import WorkerInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ovsam_pipeline.engines.cluster.checks import Probe
    from ovsam_pipeline.engines.cluster.schedule import Shard
    from ovsam_pipeline.engines.cluster.size import ClusterSize
    from ovsam_pipeline.labelling.facts import RunFacts


@dataclass(eq=False)
class Member:
    """An actor as the driver knows it.

    Attributes:
        handle: Ray's.
        name: "machine:process" once it is loaded.
        node: Ray's name of its node, once it is loaded.
        info: what it said of itself; None until it is loaded.
        is_working: whether it has the output, and so may have shards.
        is_gone: whether it was dismissed; what it still answers is of no use.
        is_looked_at: whether it was asked how it stands and has not answered.
        looked_s: when it was asked last.
    """

    handle: Any
    name: str = "starting"
    node: str = ""
    info: WorkerInfo | None = None
    is_working: bool = False
    is_gone: bool = False
    is_looked_at: bool = False
    looked_s: float = 0.0


NODE_GONE = "its node is gone"


class WorkerDiedError(Exception):
    """A worker will not answer any more; the text says how it ended."""


def describe_death(text: str) -> str:
    """Return why a worker ended in a few words, from what Ray says at length."""
    missing = re.search(r"No module named '([\w.]+)'", text)
    if missing:
        return (
            f"its Python has no module {missing[1]}; install the same ovsam, with all that it "
            "needs, on every node, into the Python that Ray runs with"
        )
    small = " ".join(text.split()).lower()
    # Of every death Ray says that it may have been the kernel, for want of memory.
    if "running low" in small or "outofmemory" in small:
        return "its node ran low on memory, and Ray ended it"
    if "node" in small and ("node has died" in small or "node was" in small):
        return NODE_GONE
    return "its process died: killed, out of memory, or a crash in a library"


class Crew(Protocol):
    """The workers of a run, as `ClusterRun` drives them."""

    facts: RunFacts
    size: ClusterSize
    members: list[Member]
    accepted_parts: set[str] | None

    def hire(self) -> Member:
        """See `ray_pool.Crew.hire`."""

    def welcome(self, member: Member, ref: Any, expected: RunFacts | None) -> WorkerInfo:
        """See `ray_pool.Crew.welcome`."""

    def dismiss(self, member: Member) -> None:
        """See `ray_pool.Crew.dismiss`."""

    def measure(self) -> None:
        """See `ray_pool.Crew.measure`."""

    def put(self, value: Any) -> Any:
        """See `ray_pool.Crew.put`."""

    def get(self, ref: Any, host: str | None) -> Any:
        """See `ray_pool.Crew.get`."""

    def list_nodes(self) -> set[str]:
        """See `ray_pool.Crew.list_nodes`."""

    def wait(self) -> list[tuple[Member, str, Any]]:
        """See `ray_pool.Crew.wait`."""

    def forget_answers(self) -> None:
        """See `ray_pool.Crew.forget_answers`."""

    def begin(self, member: Member, writer: Any, probe: Probe) -> None:
        """See `ray_pool.Crew.begin`."""

    def assign(self, member: Member, shard: Shard) -> None:
        """See `ray_pool.Crew.assign`."""

    def look(self, member: Member, now_s: float) -> None:
        """See `ray_pool.Crew.look`."""

    def stop(self, member: Member) -> None:
        """See `ray_pool.Crew.stop`."""

    def show_notes(self, notes: Iterable[tuple[int, str]]) -> None:
        """See `ray_pool.Crew.show_notes`."""
