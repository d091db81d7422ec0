"""Training on a Ray cluster: the same losses as torchrun, deaths, wishes, refusals."""

import logging
import os
import subprocess
import sys
import threading
import time

import pytest
import small_trainings
from locations import DOUBLES
from tiny_run import read_curve

from ovsam.errors import ConfigError, TrainingError
from ovsam.training.loop.stopping import RunStoppedError, stop_signal
from ovsam_pipeline.training.request import StageRequest

pytestmark = pytest.mark.ray

TINY = str(DOUBLES / "tiny_run.py")


@pytest.fixture(autouse=True)
def _no_wish():
    yield
    stop_signal.clear()


def _train(folder, run, num_workers=2, **size):
    from ovsam_pipeline.training.ray_group import (  # Ray reads its variables then
        RaySize,
        train_on_ray,
    )

    folder.mkdir(exist_ok=True)
    request = StageRequest(stage="labels", out=folder)
    train_on_ray(request, RaySize(num_workers=num_workers, **size), run)


@pytest.fixture(scope="module")
def by_torchrun(tmp_path_factory, ray_home):
    folder = tmp_path_factory.mktemp("torchrun")
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    subprocess.run(
        [*program, TINY, str(folder), "dropout=0.5"], check=True, env=dict(os.environ), timeout=120
    )
    return read_curve(folder)


def test_two_actors_train_as_two_processes_of_torchrun(cluster, tmp_path, by_torchrun, caplog):
    with caplog.at_level(logging.INFO, "ovsam.training.loop.run_log"):
        _train(tmp_path, small_trainings.run_small)
    assert read_curve(tmp_path) == by_torchrun
    shown = [record.numbers["step"] for record in caplog.records if hasattr(record, "numbers")]
    assert shown == list(range(1, 13))


def test_run_goes_on_from_its_checkpoint_when_a_worker_dies(cluster, tmp_path, by_torchrun, caplog):
    with caplog.at_level(logging.WARNING):
        _train(tmp_path, small_trainings.run_dying_once)
    assert "a worker died" in caplog.text
    assert (tmp_path / "died").exists()
    assert read_curve(tmp_path) == by_torchrun


def test_deaths_are_forgiven_a_few_times_only(cluster, tmp_path):
    with pytest.raises(TrainingError, match=r"workers died 2 times, the last one: .*; the same"):
        _train(tmp_path, small_trainings.run_dying_always, 1, max_restarts=1)


def test_wish_to_stop_reaches_every_actor_and_the_run_is_saved(cluster, tmp_path):
    def ask():
        while not (tmp_path / "log.jsonl").exists():
            time.sleep(0.05)
        stop_signal.request(15)

    threading.Thread(target=ask, daemon=True).start()
    with pytest.raises(RunStoppedError) as stopped:
        _train(tmp_path, small_trainings.run_slow)
    assert not stopped.value.is_interrupted
    (path,) = tmp_path.glob("checkpoint-*.json")
    assert int(path.stem.split("-")[1]) == stopped.value.step


def test_mistake_that_one_actor_finds_is_told_as_it_is(cluster, tmp_path):
    with pytest.raises(ConfigError, match="expected a, got b; do c"):
        _train(tmp_path, small_trainings.run_refused)


def test_cluster_that_is_too_small_is_refused(cluster, tmp_path):
    with pytest.raises(ConfigError, match=r"expected 6 CPUs for 3 workers, the cluster has 2"):
        _train(tmp_path, small_trainings.run_small, 3, threads=2)


def test_training_without_workers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected --num-workers of at least 1, got 0"):
        _train(tmp_path, small_trainings.run_small, 0)
