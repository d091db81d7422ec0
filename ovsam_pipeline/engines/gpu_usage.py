"""How full and how busy the GPU of this process is: for progress and `ovsam status`.

Memory is asked of torch, which the process that labels has loaded; how busy the GPU is only
`nvidia-smi` knows. Whatever cannot be told is None: watching never fails a run.
"""

from __future__ import annotations

import subprocess

from ovsam_pipeline.monitoring.report import WorkerState

_PATIENCE_S = 5.0


def update_gpu(worker: WorkerState, device: str) -> None:
    """Write memory and utilisation of a GPU into the state of the worker that uses it.

    Args:
        worker: of this process.
        device: as torch names it, "cuda:0"; nothing is done for others.
    """
    if not device.startswith("cuda"):
        return
    import torch

    index = torch.device(device).index or 0
    try:
        free, total = torch.cuda.mem_get_info(index)
        # Numbers differ between torch and nvidia-smi; this one does not.
        name = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
    except RuntimeError:
        return
    worker.gpu_memory_used, worker.gpu_memory_total = total - free, total
    worker.gpu_utilisation = _ask_utilisation(name)


def _ask_utilisation(name: str) -> float | None:
    """Return the share of time in which a GPU worked lately; None where nobody tells (MIG)."""
    command = ["nvidia-smi", "-i", name, "--query-gpu=utilization.gpu"]
    command += ["--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        ).stdout
        return float(told) / 100
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
