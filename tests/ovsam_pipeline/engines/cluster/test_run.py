"""The loop of a cluster run on workers of this process, which die as a test says."""

import itertools
import random
import subprocess
import sys
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_labeller import make_labeller, write_images

from ovsam.errors import OvsamError
from ovsam_pipeline.engines.cluster import run as cluster_run
from ovsam_pipeline.engines.cluster.pool import (
    Answer,
    Loaded,
    Opened,
    PoolWorker,
    WorkerDiedError,
)
from ovsam_pipeline.engines.cluster.run import label_on_pool
from ovsam_pipeline.engines.cluster.size import ClusterSize
from ovsam_pipeline.engines.engine import Work
from ovsam_pipeline.engines.worker import Worker
from ovsam_pipeline.errors import OutputError, ShardError
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.monitoring.report import RunReport
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows
from ovsam_pipeline.output.parts import PartWriter
from ovsam_pipeline.output.plan import Plan
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.spool import ImageSpool


class FakePool:
    """Workers that work when they are waited for, in a random order, and die by a dice."""

    def __init__(self, num_actors=3, seed=0, deaths=0.0, poison=(), image_timeout=1e6) -> None:
        self.config = LabelConfig(sources=("x",), image_timeout=image_timeout)
        self.facts = make_labeller(self.config).facts
        self.accepted_parts, self.workers, self.bodies = set(), [], {}
        self.size = ClusterSize(num_actors, 0.0, 1)
        self.dice, self.deaths, self.poison = random.Random(seed), deaths, poison
        self.pending, self.nodes, self.num_started, self.num_loaded = deque(), {"n"}, 0, 0
        self.is_loading_deadly, self.hung, self.output = False, set(), None
        self.start_worker()

    def ask(self, worker, call):
        self.pending.append((worker, call))

    def start_worker(self):
        self.num_started += 1
        worker = PoolWorker()
        self.workers.append(worker)
        self.bodies[worker] = Worker(self.config, make_labeller, None)
        self.ask(worker, lambda: self.load(worker))

    def load(self, worker):
        if self.is_loading_deadly:
            raise WorkerDiedError("out of memory")
        info = self.bodies[worker].load({}, is_first=False)
        self.num_loaded += 1
        return Loaded(f"h:{self.num_loaded}", "n", info)

    def begin_run(self, writer, probe):
        self.pending = deque(item for item in self.pending if item[0].info is None)
        self.output = writer, probe

    def open_output(self, worker):
        self.ask(worker, lambda: self.bodies[worker].begin(*self.output) or Opened())

    def measure(self):
        pass

    def list_nodes(self):
        return self.nodes

    def stop_worker(self, worker):
        worker.is_stopped = True
        self.workers.remove(worker)

    def log_notes(self, notes):
        pass

    def assign(self, worker, shard):
        def label():
            if {Path(i.file_name).stem for i in shard.images} & set(self.poison):
                raise WorkerDiedError("its process died")
            body = self.bodies[worker]
            if self.dice.random() < self.deaths:
                if self.dice.random() < 0.5:  # between the commit and the answer
                    body.label(shard.number, shard.images)
                raise WorkerDiedError("its process died")
            return body.label(shard.number, shard.images)

        self.ask(worker, label)

    def ask_state(self, worker, now_s):
        worker.is_asked, worker.asked_s = True, now_s
        self.ask(worker, self.bodies[worker].look)

    def request_stop(self, worker):
        self.bodies[worker].stop()

    def wait(self):
        alive = [
            item for item in self.pending if not item[0].is_stopped and item[0] not in self.hung
        ]
        firsts = {}
        for item in alive:  # what one worker was asked is done in order
            firsts.setdefault(item[0], item)
        if not firsts:
            return []
        item = self.dice.choice(list(firsts.values()))
        self.pending.remove(item)
        worker, call = item
        try:
            return [Answer(worker, call())]
        except (OvsamError, WorkerDiedError) as error:
            return [Answer(worker, error)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_run, "_RESIZE_EVERY_S", 0.0)

    def start(pool, num_images=40, stop=None, names=(), **budget):
        write_images(tmp_path / "in", num_images)
        images = ImageSpool(list_images([tmp_path / "in"]))
        with OutputFolder(tmp_path / "out") as folder:
            writer = PartWriter(folder.parts_folder, "f", max_images=8, max_seconds=1e9)
            report = RunReport(len(images), **budget)
            work = Work(Plan(images), writer, report, stop or StopRequest(), ShardStats())
            label_on_pool(work, pool)
            folder.reconcile(pool.accepted_parts, "f")
        return report, Counter(row["file_name"] for row in iterate_rows(tmp_path / "out"))

    return start


@pytest.mark.parametrize("seed", range(12))
def test_every_image_has_one_row_whatever_dies(run, seed):
    pool = FakePool(seed=seed, deaths=0.25, poison=("0007",))
    report, rows = run(pool)
    assert len(rows) == 40
    assert set(rows.values()) == {1}
    assert report.done == 40
    assert report.failed >= 1
    assert pool.num_started > 3, "lost workers are replaced"


def test_poisonous_image_fails_with_its_reason_and_the_rest_is_labelled(run):
    report, _ = run(FakePool(poison=("0007",)))
    assert report.statuses == {"labelled": 39, "failed": 1}
    (group,) = report.reasons.list_common()
    assert "its worker died" in group.sentence
    assert "0007" in group.file_name


def test_budget_stops_the_run(run):
    report, rows = run(FakePool(num_actors=1, poison=[f"{n:04d}" for n in range(40)]),
                       max_failures=2)  # fmt: skip
    assert report.is_over_budget
    assert report.failed == len(rows) == 3


def test_stopped_run_keeps_what_was_labelled(run):
    stop = StopRequest()
    pool = FakePool()
    wait = pool.wait

    def wait_and_stop():
        if len(pool.accepted_parts) == 2:
            stop.request("interrupted")
        return wait()

    pool.wait = wait_and_stop
    report, rows = run(pool, stop=stop)
    assert 0 < report.done < 40
    assert report.done == len(rows)


def test_worker_that_does_not_react_to_a_stop_is_ended_after_a_while(run, monkeypatch):
    pool, stop = FakePool(num_actors=1), StopRequest()
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cluster_run.time, "monotonic", lambda: clock.now)
    wait = pool.wait

    def wait_and_stop():
        clock.now += 1.0
        if len(pool.accepted_parts) == 1:
            stop.request("interrupted")
            pool.hung.add(pool.workers[0])
        return wait()

    pool.wait = wait_and_stop
    report, rows = run(pool, stop=stop)
    assert 0 < report.done == len(rows) < 40
    assert pool.workers == []
    assert 60.0 < clock.now < 80.0


def test_workers_that_die_while_they_load_end_the_run(run, monkeypatch):
    monkeypatch.setattr(cluster_run, "_RESIZE_EVERY_S", 0.0)
    monkeypatch.setattr(cluster_run, "_LONGEST_PAUSE_S", 0.0)
    pool = FakePool()
    pool.is_loading_deadly = True
    with pytest.raises(ShardError, match=r"5 workers in a row died .*out of memory"):
        run(pool)


def test_work_in_between_forgives_workers_that_cannot_start(run, monkeypatch):
    monkeypatch.setattr(cluster_run, "_LONGEST_PAUSE_S", 0.0)
    pool = FakePool(num_actors=2)
    load, loads = pool.load, []

    def load_seldom(worker):
        loads.append(worker)
        pool.deaths = float(len(loads) == 6)  # then the one that works dies too
        if 1 < len(loads) < 8:
            raise WorkerDiedError("out of memory")
        return load(worker)

    turns = itertools.count()
    pool.load = load_seldom
    pool.dice = SimpleNamespace(
        random=lambda: 0.6, choice=lambda items: items[next(turns) % len(items)]
    )
    report, rows = run(pool)
    assert len(rows) == report.done == 40
    assert len(loads) >= 8


def test_hung_worker_is_replaced_and_its_images_are_labelled(run, monkeypatch):
    pool = FakePool(num_actors=1, image_timeout=5.0)
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cluster_run.time, "monotonic", lambda: clock.now)
    wait = pool.wait

    def wait_or_hang():
        clock.now += 1.0
        if len(pool.accepted_parts) == 1 and not pool.hung:
            pool.hung.add(pool.workers[0])
        return wait()

    pool.wait = wait_or_hang
    report, rows = run(pool)
    assert len(rows) == report.done == 40
    assert pool.num_started == 2


def test_late_part_of_a_worker_that_was_given_up_is_swept(run):
    """Its shard went to another one, in other company; then it writes after all."""
    pool = FakePool(num_actors=2)
    assign, wait = pool.assign, pool.wait
    zombies = []

    def assign_and_lose_one(worker, shard):
        if zombies or not pool.accepted_parts:
            assign(worker, shard)
            return

        def die():
            raise WorkerDiedError("its process died")

        zombies.append((worker, shard))
        pool.ask(worker, die)

    def wait_and_wake():
        if len(pool.accepted_parts) >= 3 and zombies[0]:
            worker, shard = zombies[0]
            pool.bodies[worker].label(shard.number, shard.images[:1])
            zombies[0] = None
        return wait()

    pool.assign, pool.wait = assign_and_lose_one, wait_and_wake
    report, rows = run(pool)
    assert zombies == [None]
    assert set(rows.values()) == {1}
    assert len(rows) == report.done == 40


def test_part_that_cannot_be_written_ends_the_run(run):
    pool = FakePool()

    def assign(worker, shard):
        def fail():
            raise OutputError("on node7: cannot write: no space")

        pool.ask(worker, fail)

    pool.assign = assign
    with pytest.raises(OutputError, match="no space"):
        run(pool)


def test_worker_that_cannot_start_is_reported_and_the_others_continue(run, caplog):
    pool = FakePool(num_actors=3)
    load = pool.load

    def load_and_spoil_the_second(worker):
        loaded = load(worker)
        if pool.num_loaded == 2:
            return replace(loaded, info=replace(loaded.info, host="node7", version="0.0.1"))
        return loaded

    pool.load = load_and_spoil_the_second
    report, rows = run(pool)
    assert len(rows) == report.done == 40
    assert "a worker cannot start, the next try is in 2 s (workers now: 1): node7" in caplog.text


def test_first_worker_that_cannot_write_the_output_ends_the_run(run):
    pool = FakePool()

    def refuse(worker):
        def fail():
            raise OutputError("node7 does not see the output folder")

        pool.ask(worker, fail)

    pool.open_output = refuse
    with pytest.raises(OutputError, match="node7 does not see"):
        run(pool)


def test_run_in_which_every_worker_dies_ends_before_all_images_are_given_up(run):
    pool = FakePool(deaths=1.0, seed=3)
    pool.dice.random = lambda: 0.9
    pool.deaths = 0.95
    with pytest.raises(ShardError, match=r"workers were lost and no image was labelled; the last"):
        run(pool, num_images=100)
    assert pool.num_started < 30


def test_run_without_any_worker_says_what_it_waits_for(run, caplog, monkeypatch):
    caplog.set_level("INFO", "ovsam_pipeline")
    pool, stop = FakePool(num_actors=1), StopRequest()
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cluster_run.time, "monotonic", lambda: clock.now)

    def wait_in_vain():
        clock.now += 10.0
        if clock.now > 200.0:
            stop.request("time limit")
        return []

    pool.wait = wait_in_vain
    report, _ = run(pool, stop=stop)
    assert report.done == 0
    assert caplog.text.count("waiting for a worker: each needs 1 CPUs of one node") == 3


def test_driver_loads_no_torch():
    code = (
        "import sys, ovsam_pipeline.runs.api, ovsam_pipeline.runs.run\n"
        "import ovsam_pipeline.engines.cluster.run\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
