"""A step whose loss or gradient is not finite: its batch is kept, the step skipped or the last.

Every process keeps its own part of the batch, as any of them may hold what went wrong.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

from ovsam.errors import TrainingError
from ovsam.training.loop.distributed import Ranks
from ovsam.training.loop.step_report import MeteredStep
from ovsam.weights.tensor_files import write_tensors

logger = logging.getLogger(__name__)


def is_finite(losses: Mapping[str, float], grad_norm: float) -> bool:
    """Whether a step may be taken: all losses and the norm of the gradient are numbers."""
    return math.isfinite(grad_norm) and all(math.isfinite(value) for value in losses.values())


def save_bad_batch(
    folder: Path, ranks: Ranks, step: int, compute_losses: object, numbers: Mapping[str, object]
) -> Path:
    """Write this process's batch of a bad step.

    `compute_losses`: the step; without a report there are no tensors to keep. `numbers`: losses,
    gradient norm and seed: with the seed and the step, the batch can also be drawn again.
    """
    path = folder / f"bad-batch-{step:08d}-rank{ranks.rank}.safetensors"
    batch = compute_losses.report.batch if isinstance(compute_losses, MeteredStep) else {}
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in batch.items()}
    write_tensors(path, tensors, {"numbers": json.dumps({"step": step, **numbers})})
    return path


def judge_bad_step(path: Path, numbers: Mapping[str, float], *, skipped: int, allowed: int) -> None:
    """Allow a bad step to be skipped, with a warning."""
    bad = ", ".join(
        f"{name} {value}" for name, value in numbers.items() if not math.isfinite(value)
    )
    if skipped < allowed:
        logger.warning("skipped a step whose %s; its batch is in %s", bad, path)
        return
    raise TrainingError(
        f"expected finite losses and gradients, got {bad} (after {skipped} skipped steps); the "
        f"batch is in {path}: look at it, lower loop.optimiser.learning_rate, or allow more with "
        "loop.skip_bad_steps"
    )
