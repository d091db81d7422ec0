"""The loop of a cluster run on workers of this process, which die as a test says."""

import random
from collections import Counter, deque
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_labeller import make_labeller, write_images

from ovsam.errors import ConfigError
from ovsam_pipeline.engines.cluster import run as cluster_run
from ovsam_pipeline.engines.cluster.checks import Probe
from ovsam_pipeline.engines.cluster.member import WorkerDiedError, describe_death
from ovsam_pipeline.engines.cluster.run import ClusterRun
from ovsam_pipeline.engines.cluster.size import ClusterSize
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


class FakeMember:
    """As `run_ray.Member`, with its worker in this process."""

    def __init__(self, config) -> None:
        self.worker = Worker(config, make_labeller, None)
        self.name, self.node, self.info = "starting", "n", None
        self.is_working, self.is_gone, self.is_looked_at = False, False, False
        self.looked_s = 0.0


class FakeCrew:
    """Members that work when they are waited for, in a random order, and die by a dice."""

    def __init__(self, num_actors=3, seed=0, deaths=0.0, poison=(), image_timeout=1e6) -> None:
        self.config = LabelConfig(sources=("x",), image_timeout=image_timeout)
        self.facts = make_labeller(self.config).facts
        self.accepted_parts, self.members = set(), []
        self.size = ClusterSize(num_actors, 0.0, 1)
        self.dice, self.deaths, self.poison = random.Random(seed), deaths, poison
        self.pending, self.count, self.nodes, self.num_hired = deque(), 0, {"n"}, 0
        self.is_loading_deadly, self.hung = False, set()
        self.hire()

    def hire(self):
        self.num_hired += 1
        member = FakeMember(self.config)
        self.members.append(member)
        self.pending.append((member, "load", lambda: member.worker.load({}, ".", is_first=False)))

    def forget_answers(self):
        self.pending = deque(item for item in self.pending if item[1] == "load")

    def put(self, value):
        return value

    def measure(self):
        pass

    def list_nodes(self):
        return self.nodes

    def dismiss(self, member):
        member.is_gone = True
        self.members.remove(member)

    def show_notes(self, notes):
        pass

    def welcome(self, member, ref, expected):
        info = self.get(ref, "x")
        self.count += 1
        member.info = info
        member.name = f"h:{self.count}"
        return member.info

    def begin(self, member, writer, probe):
        self.pending.append((member, "begin", lambda: member.worker.begin(writer, probe.path)))

    def assign(self, member, shard):
        def label():
            if {Path(i.file_name).stem for i in shard.images} & set(self.poison):
                raise WorkerDiedError("its process died")
            if self.dice.random() < self.deaths:
                if self.dice.random() < 0.5:  # between the commit and the answer
                    member.worker.label(shard.number, shard.images)
                raise WorkerDiedError("its process died")
            return member.worker.label(shard.number, shard.images)

        self.pending.append((member, "label", label))

    def look(self, member, now_s):
        member.is_looked_at, member.looked_s = True, now_s
        self.pending.append((member, "look", member.worker.look))

    def stop(self, member):
        member.worker.stop()

    def wait(self):
        alive = [item for item in self.pending if not item[0].is_gone and item[0] not in self.hung]
        firsts, seen = [], set()
        for item in alive:  # what one member was given is done in order
            if id(item[0]) not in seen:
                firsts.append(item)
                seen.add(id(item[0]))
        if not firsts:
            return []
        item = self.dice.choice(firsts)
        self.pending.remove(item)
        return [item]

    def get(self, ref, host):
        if self.is_loading_deadly:
            raise WorkerDiedError("out of memory")
        return ref()


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_run, "_RESIZE_EVERY_S", 0.0)

    def start(crew, num_images=40, stop=None, names=(), **budget):
        write_images(tmp_path / "in", num_images)
        images = ImageSpool(list_images([tmp_path / "in"]))
        with OutputFolder(tmp_path / "out") as folder, Probe(folder.path) as probe:
            writer = PartWriter(folder.parts_folder, "f", max_images=8, max_seconds=1e9)
            report = RunReport(len(images), **budget)
            loop = ClusterRun(Plan(images), crew, writer, report, probe)
            loop.go_on(stop or StopRequest())
            loop.end(ShardStats())
            folder.reconcile(crew.accepted_parts, "f")
        return report, Counter(row["file_name"] for row in iterate_rows(tmp_path / "out"))

    return start


@pytest.mark.parametrize("seed", range(12))
def test_every_image_has_one_row_whatever_dies(run, seed):
    crew = FakeCrew(seed=seed, deaths=0.25, poison=("0007",))
    report, rows = run(crew)
    assert len(rows) == 40
    assert set(rows.values()) == {1}
    assert report.done == 40
    assert report.failed >= 1
    assert crew.num_hired > 3, "lost workers are replaced"


def test_poisonous_image_fails_with_its_reason_and_the_rest_is_labelled(run):
    report, _ = run(FakeCrew(poison=("0007",)))
    assert report.statuses == {"labelled": 39, "failed": 1}
    (reason,) = report.reasons
    assert "its worker died" in reason


def test_budget_stops_the_run(run):
    report, rows = run(FakeCrew(num_actors=1, poison=[f"{n:04d}" for n in range(40)]),
                       max_failures=2)  # fmt: skip
    assert report.is_over_budget
    assert report.failed == len(rows) == 3


def test_stopped_run_keeps_what_was_labelled(run):
    stop = StopRequest()
    crew = FakeCrew()
    wait = crew.wait

    def wait_and_stop():
        if len(crew.accepted_parts) == 2:
            stop.request("interrupted")
        return wait()

    crew.wait = wait_and_stop
    report, rows = run(crew, stop=stop)
    assert 0 < report.done < 40
    assert report.done == len(rows)


def test_worker_that_does_not_heed_a_stop_is_ended_after_a_while(run, monkeypatch):
    crew, stop = FakeCrew(num_actors=1), StopRequest()
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cluster_run.time, "monotonic", lambda: clock.now)
    wait = crew.wait

    def wait_and_stop():
        clock.now += 1.0
        if len(crew.accepted_parts) == 1:
            stop.request("interrupted")
            crew.hung.add(crew.members[0])
        return wait()

    crew.wait = wait_and_stop
    report, rows = run(crew, stop=stop)
    assert 0 < report.done == len(rows) < 40
    assert crew.members == []
    assert 60.0 < clock.now < 80.0


def test_workers_that_die_while_they_load_end_the_run(run, monkeypatch):
    monkeypatch.setattr(cluster_run, "_RESIZE_EVERY_S", 0.0)
    monkeypatch.setattr(cluster_run, "_LONGEST_PAUSE_S", 0.0)
    crew = FakeCrew()
    crew.is_loading_deadly = True
    with pytest.raises(ShardError, match=r"5 workers one after another died .*out of memory"):
        run(crew)


def test_hung_worker_is_replaced_and_its_images_are_labelled(run, monkeypatch):
    crew = FakeCrew(num_actors=1, image_timeout=5.0)
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cluster_run.time, "monotonic", lambda: clock.now)
    wait = crew.wait

    def wait_or_hang():
        clock.now += 1.0
        if len(crew.accepted_parts) == 1 and not crew.hung:
            crew.hung.add(crew.members[0])
        return wait()

    crew.wait = wait_or_hang
    report, rows = run(crew)
    assert len(rows) == report.done == 40
    assert crew.num_hired == 2


def test_late_part_of_a_worker_that_was_given_up_is_swept(run):
    """Its shard went to another one, in other company; then it writes after all."""
    crew = FakeCrew(num_actors=2)
    assign, wait = crew.assign, crew.wait
    zombies = []

    def assign_and_lose_one(member, shard):
        if zombies or not crew.accepted_parts:
            assign(member, shard)
            return

        def die():
            raise WorkerDiedError("its process died")

        zombies.append((member, shard))
        crew.pending.append((member, "label", die))

    def wait_and_wake():
        if len(crew.accepted_parts) >= 3 and zombies[0]:
            member, shard = zombies[0]
            member.worker.label(shard.number, shard.images[:1])
            zombies[0] = None
        return wait()

    crew.assign, crew.wait = assign_and_lose_one, wait_and_wake
    report, rows = run(crew)
    assert zombies == [None]
    assert set(rows.values()) == {1}
    assert len(rows) == report.done == 40


def test_part_that_cannot_be_written_ends_the_run(run):
    crew = FakeCrew()

    def assign(member, shard):
        def fail():
            raise OutputError("on node7: cannot write: no space")

        crew.pending.append((member, "label", fail))

    crew.assign = assign
    with pytest.raises(OutputError, match="no space"):
        run(crew)


def test_worker_that_cannot_start_is_told_and_the_others_go_on(run, caplog):
    crew = FakeCrew(num_actors=3)
    welcome = crew.welcome

    def refuse_the_second(member, ref, expected):
        info = welcome(member, ref, expected)
        if crew.count == 2:
            raise ConfigError("node7 has ovsam 0.0.1 and this machine 0.1.0; install the same")
        return info

    crew.welcome = refuse_the_second
    report, rows = run(crew)
    assert len(rows) == report.done == 40
    assert "a worker cannot start, the others go on: node7 has ovsam 0.0.1" in caplog.text


def test_first_worker_that_cannot_write_the_output_ends_the_run(run):
    crew = FakeCrew()

    def refuse(member, writer, probe):
        def fail():
            raise OutputError("node7 does not see the output folder")

        crew.pending.append((member, "begin", fail))

    crew.begin = refuse
    with pytest.raises(OutputError, match="node7 does not see"):
        run(crew)


def test_run_in_which_every_worker_dies_ends_before_all_images_are_given_up(run):
    crew = FakeCrew(deaths=1.0, seed=3)
    crew.dice.random = lambda: 0.9
    crew.deaths = 0.95
    with pytest.raises(ShardError, match=r"workers were lost and no image was labelled; the last"):
        run(crew, num_images=100)
    assert crew.num_hired < 30


def test_run_without_any_worker_says_what_it_waits_for(run, caplog, monkeypatch):
    caplog.set_level("INFO", "ovsam_pipeline")
    crew, stop = FakeCrew(num_actors=1), StopRequest()
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cluster_run.time, "monotonic", lambda: clock.now)

    def wait_in_vain():
        clock.now += 10.0
        if clock.now > 200.0:
            stop.request("time limit")
        return []

    crew.wait = wait_in_vain
    report, _ = run(crew, stop=stop)
    assert report.done == 0
    assert caplog.text.count("waiting for a worker: each needs 1 CPUs of one node") == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Task was killed due to the node running low on memory.", "its node ran low on memory"),
        ("The actor died because its node has died. Node Id: 1f", "its node is gone"),
        ("The actor died in its creation task: ModuleNotFoundError: No module named 'ovsam'",
         "its Python has no module ovsam; install the same ovsam, with all that it needs, on ev"),
        ("exit type: SYSTEM_ERROR. Some common causes include: (1) the process was killed by the "
         "OOM killer due to high memory usage, (2) ...", "its process died: killed, out of memory"),
    ],
)  # fmt: skip
def test_death_is_told_in_a_few_words(text, words):
    assert describe_death(text).startswith(words)
