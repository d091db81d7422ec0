"""How full and how busy the GPU of this process is: for progress and `ovsam status`.

Torch reports the memory; only `nvidia-smi` reports how busy the GPU is. What is unknown is None:
watching never fails a run.
"""

from __future__ import annotations

import subprocess

from ovsam_pipeline.monitoring.report import WorkerState

_TIMEOUT_S = 5.0


def update_gpu(worker: WorkerState, device: str) -> None:
    """Write memory and utilisation of a GPU ("cuda:0"; nothing for "cpu") into a worker's state."""
    if not device.startswith("cuda"):
        return
    import torch

    index = torch.device(device).index or 0
    try:
        free, total = torch.cuda.mem_get_info(index)
        # torch and nvidia-smi number GPUs differently; the UUID is the same in both.
        name = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
    except RuntimeError:
        return
    worker.gpu_memory_used, worker.gpu_memory_total = total - free, total
    worker.gpu_utilisation = _ask_utilisation(name)


def _ask_utilisation(name: str) -> float | None:
    """Return the share of time in which a GPU worked lately; None where unknown (MIG)."""
    command = ["nvidia-smi", "-i", name, "--query-gpu=utilization.gpu"]
    command += ["--format=csv,noheader,nounits"]
    try:
        shown = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        ).stdout
        return float(shown) / 100
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
