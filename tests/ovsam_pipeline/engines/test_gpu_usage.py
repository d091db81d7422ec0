import time
from types import SimpleNamespace

import pytest
import torch

from ovsam_pipeline.engines import local
from ovsam_pipeline.engines.gpu_usage import update_gpu
from ovsam_pipeline.monitoring.report import WorkerState


@pytest.fixture
def fake_gpu(monkeypatch, tmp_path):
    """A GPU of 80 bytes, 50 free, whose nvidia-smi says what is asked of it."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (50, 80))
    properties = SimpleNamespace(uuid="12-34")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def install(text, code=0):
        script = tmp_path / "nvidia-smi"
        test = '[ "$2" = GPU-12-34 ] || exit 9'
        script.write_text(f"#!/bin/sh\n{test}\necho '{text}'\nexit {code}\n")
        script.chmod(0o755)

    return install


@pytest.mark.parametrize(
    ("text", "code", "expected"), [("93", 0, 0.93), ("[N/A]", 0, None), ("no such GPU", 6, None)]
)
def test_memory_is_torchs_and_utilisation_that_of_nvidia_smi(fake_gpu, text, code, expected):
    fake_gpu(text, code)
    worker = WorkerState("a")
    update_gpu(worker, "cuda:1")
    assert (worker.gpu_memory_used, worker.gpu_memory_total) == (30, 80)
    assert worker.gpu_utilisation == expected


def test_without_nvidia_smi_memory_is_told_alone(fake_gpu, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    worker = WorkerState("a")
    update_gpu(worker, "cuda")
    assert (worker.gpu_memory_used, worker.gpu_utilisation) == (30, None)


def test_cpu_and_lost_gpu_are_left_alone(monkeypatch):
    def fail(index):
        raise RuntimeError("CUDA error: device lost")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    worker = WorkerState("a")
    for device in ("cpu", "cuda:0"):
        update_gpu(worker, device)
    assert worker == WorkerState("a")


@pytest.mark.parametrize(("device", "is_watched"), [("cuda:0", True), ("cpu", False)])
def test_run_on_a_gpu_watches_it(monkeypatch, device, is_watched):
    seen = []
    monkeypatch.setattr(local, "_GPU_EVERY_S", 0.005)
    monkeypatch.setattr(local, "update_gpu", lambda *given: seen.append(given))
    worker = WorkerState("a")
    with local._watch_gpu(worker, device):
        time.sleep(0.05)
    assert (seen[:1] == [(worker, device)]) is is_watched
