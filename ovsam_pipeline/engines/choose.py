"""Choose and open the engine of a run: this process, or the workers of a Ray cluster.

Input: the settings, and what builds a labeller from them. Output: an `Engine` that knows what the
labels will depend on (`facts`). With Ray the facts come from a worker, so the driver of a cluster
loads neither torch nor a model.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ovsam.errors import MissingDependencyError, OvsamError
from ovsam_pipeline.engines.engine import Engine
from ovsam_pipeline.engines.idle import IdleEngine
from ovsam_pipeline.labelling.labeller import BuildLabeller, Outlook, find_outlook
from ovsam_pipeline.labelling.resolve import may_have_gpu

if TYPE_CHECKING:
    from ovsam_pipeline.settings.label import LabelConfig

logger = logging.getLogger(__name__)


def choose_engine(config: LabelConfig) -> str:
    """Return "local" or "ray": a cluster where one is named, or where there are several GPUs.

    `config`: the settings; `engine` "auto" looks at RAY_ADDRESS, at the flags of a cluster, and at
    this machine's GPUs where no device is named.
    """
    if config.engine != "auto":
        return config.engine
    is_asked = bool(config.address or os.environ.get("RAY_ADDRESS"))
    is_many = (config.num_gpus or 0) > 1 or (config.num_actors or 0) > 1
    if is_asked or is_many:
        return "ray"
    num_gpus = _count_gpus() if config.device == "auto" else 0
    if num_gpus > 1 and find_spec("ray") is None:
        logger.info("one of %d GPUs is used; pip install ray to use them all", num_gpus)
        return "local"
    return "ray" if num_gpus > 1 else "local"


def foresee(
    config: LabelConfig, build: BuildLabeller, made: Mapping[str, Any]
) -> IdleEngine | None:
    """Return an engine that knows the facts and has loaded nothing; None: only loading tells.

    `made`: run.json of the output. The workers of a cluster may have other files and GPUs than this
    machine: what is found here counts there only where the output was made with just that.

    Raises what loading would, where that needs no networks.
    """
    name = choose_engine(config)
    if name == "local":
        outlook = find_outlook(config, build)
        return None if outlook is None else IdleEngine(outlook, name)
    before = made.get("resolved")
    if not isinstance(before, dict) or config.detector.startswith("python:"):
        return None
    with suppress(OvsamError):
        if config.dtype == "auto":
            config = replace(config, dtype=before.get("dtype", "auto"))
        outlook = find_outlook(replace(config, device="cpu"), build)
        if outlook is not None and outlook.facts.fingerprint == made.get("fingerprint"):
            return IdleEngine(outlook, name)
    return None


@contextmanager
def open_engine(
    config: LabelConfig,
    build: BuildLabeller,
    embedding: Callable[[int, int], None] | None = None,
    outlook: Outlook | None = None,
) -> Iterator[Engine]:
    """Load what labels, here or on a cluster, until the block ends.

    `build`: settings → Labeller; picklable, as it may run in an actor. `embedding`: called with
    (done, total) while class names are embedded in this process. `outlook`: what was foreseen.
    """
    if choose_engine(config) == "ray":
        with _import_ray_engine().open_pool(config, build) as pool:
            yield pool
        return
    # Loads torch, which the driver of a cluster does without.
    from ovsam_pipeline.engines.local import LocalEngine

    if outlook is None:
        yield LocalEngine(build(config, embedding))
    else:
        yield LocalEngine(outlook.build(outlook.facts.config, embedding))


def _import_ray_engine() -> ModuleType:
    try:
        from ovsam_pipeline.engines.cluster import ray_pool
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise MissingDependencyError(
            "labelling on a cluster needs the package ray; pip install ray"
        ) from error
    return ray_pool


def _count_gpus() -> int:
    """Return how many GPUs torch may use; where there is no driver, torch is not loaded."""
    if not may_have_gpu():
        return 0
    import torch

    return torch.cuda.device_count()
