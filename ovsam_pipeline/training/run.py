"""One `ovsam train`: where its processes run, what it shows, and what its end means."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from safetensors import SafetensorError

from ovsam.errors import MissingDependencyError, TrainingError, describe_error, explain
from ovsam.training.loop.distributed import leave_ranks
from ovsam.training.loop.stopping import RunStoppedError, stop_signal
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.output.lock import take_training_lock
from ovsam_pipeline.terminal.app import print_result, result_is_kept
from ovsam_pipeline.terminal.bars import show_training
from ovsam_pipeline.terminal.notes import print_note
from ovsam_pipeline.training.ending import describe_end
from ovsam_pipeline.training.request import StageRequest, TrainingPlace
from ovsam_pipeline.training.stages import run_stage


def run_training(request: StageRequest, place: TrainingPlace) -> int:
    """Run a stage and return the exit code: 0 done, or stopped by SIGTERM and saved; 130 Ctrl-C."""
    logging.getLogger("ovsam.training").setLevel(logging.INFO)
    # Of torchrun's processes the first one alone has something to show.
    is_first = os.environ.get("RANK", "0") == "0"
    shown: AbstractContextManager[None] = show_training() if is_first else nullcontext()
    stop_signal.clear()
    has_out = is_first and request.stage != "check"
    try:
        with _hold_folder(request.out) if has_out else nullcontext(), shown:
            if place.engine == "ray":
                _run_on_ray(request, place)
            else:
                torch.set_num_threads(place.threads)
                run_stage(request)
    except RunStoppedError as stop:
        code = ExitCode.INTERRUPTED if stop.is_interrupted else ExitCode.DONE
        if is_first:
            print_note(f"ovsam: {stop}", fields={"event": "stopped", "exit_code": code})
        return code
    finally:
        leave_ranks()
    if has_out:  # else its findings are its result
        with result_is_kept():
            print_result(*describe_end(request))
    return ExitCode.DONE


@contextmanager
def _hold_folder(out: Path) -> Iterator[None]:
    """Hold a training's folder: two trainings never write into one.

    What the disk refuses on the way ends the training with a sentence: what is saved is whole.
    """
    with explain("cannot use the --out folder", out, OutputError):
        out.mkdir(parents=True, exist_ok=True)
        lock = take_training_lock(out)
    try:
        yield
    except (OSError, SafetensorError) as error:
        where = getattr(error, "filename", None) or out
        raise TrainingError(
            f"the training in {out} ended, as {where} could not be used: {describe_error(error)}; "
            "what is saved there is whole: mend it, and the same command goes on"
        ) from error
    finally:
        lock.close()


def _run_on_ray(request: StageRequest, place: TrainingPlace) -> None:
    if importlib.util.find_spec("ray") is None:
        raise MissingDependencyError("--engine ray needs Ray: pip install ray")
    from ovsam_pipeline.training.ray_group import RaySize, train_on_ray

    assert place.num_workers is not None
    size = RaySize(num_workers=place.num_workers, threads=place.threads, address=place.address)
    train_on_ray(request, size)
