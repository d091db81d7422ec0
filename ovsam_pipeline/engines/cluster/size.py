"""How many workers a run gets on a cluster, and what each holds: from the flags and the nodes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovsam.errors import ConfigError
from ovsam_pipeline.settings.label import LabelConfig

# One decodes while the other computes.
_CPUS_WITHOUT_GPU = 2
# Shares are not exact in binary: 0.6 / 0.2 is 2.9999999999999996, which holds three workers.
_TINY = 1e-9


@dataclass(frozen=True)
class ClusterSize:
    """How many workers a run may have, and what each holds.

    Attributes:
        gpus: of each worker; may be a fraction.
    """

    num_actors: int
    gpus: float
    cpus: int

    def describe(self) -> str:
        """Return what one worker waits for."""
        what = f"{self.gpus:g} GPUs and {self.cpus} CPUs" if self.gpus else f"{self.cpus} CPUs"
        return f"each needs {what} of one node of the cluster"

    def choose_device(self, device: str) -> str:
        """Return the device of a worker: Ray shows it only the GPUs that it holds."""
        if device != "auto":
            return device
        return "cuda" if self.gpus else "cpu"


def check_device(device: str) -> None:
    """Refuse a device with a number."""
    if ":" in device:
        raise ConfigError(
            f"--device {device} names one GPU, and Ray gives each worker its own; leave --device "
            "out, or choose with CUDA_VISIBLE_DEVICES where Ray is started"
        )


def choose_size(
    config: LabelConfig, nodes: Sequence[Mapping[str, float]], before: ClusterSize | None = None
) -> ClusterSize:
    """Choose the size by the nodes that there are now.

    What --num-gpus or --num-actors ask for may be more than there is: waiting workers make an
    autoscaler start nodes. `nodes`: resources of each node that is alive ("CPU", "GPU"). `before`:
    size at the start of the run, of which what a worker holds stays; None at the start.
    """
    if before is None:
        gpus, cpus = _choose_share(config, nodes)
    else:
        gpus, cpus = before.gpus, before.cpus
    if gpus and config.num_gpus:
        room = int(config.num_gpus / gpus + _TINY)
        num_actors = min(room, config.num_actors or room)
    elif gpus:
        room = sum(int(node.get("GPU", 0) / gpus + _TINY) for node in nodes)
        num_actors = config.num_actors or room
    else:
        room = sum(int(node.get("CPU", 0)) // cpus for node in nodes)
        num_actors = config.num_actors or room
    return ClusterSize(max(1, num_actors), gpus, cpus)


def _choose_share(config: LabelConfig, nodes: Sequence[Mapping[str, float]]) -> tuple[float, int]:
    """Return the GPUs and CPUs that one worker holds."""
    num_gpus = sum(node.get("GPU", 0) for node in nodes)
    is_asked = bool(config.num_gpus or config.gpus_per_actor)
    is_refused = config.num_gpus == 0 or config.gpus_per_actor == 0 or config.device == "cpu"
    # A cluster may start nodes with GPUs when they are asked for.
    is_cluster = bool(config.address or os.environ.get("RAY_ADDRESS"))
    if is_asked and not num_gpus and not is_cluster:
        raise ConfigError(
            "GPUs are asked for, and Ray finds none on this machine; leave --num-gpus and "
            "--gpus-per-actor out, or name a cluster with --address"
        )
    gpus = 0.0
    if not is_refused and (num_gpus or is_asked):
        gpus = config.gpus_per_actor or 1.0
    most_cpus = max((int(node.get("CPU", 0)) for node in nodes), default=1)
    cpus = config.cpus_per_actor or (1 if gpus else _CPUS_WITHOUT_GPU)
    if config.num_actors and not config.cpus_per_actor:
        # One CPU each is better than workers that wait for ever.
        num_cpus = sum(int(node.get("CPU", 0)) for node in nodes)
        cpus = min(cpus, num_cpus // config.num_actors)
    return gpus, max(1, min(cpus, most_cpus))
