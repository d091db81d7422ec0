"""A cluster's run on real actors: what is labelled, and what happens when something breaks."""

import os
import queue
import shutil
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from fake_labeller import FakePredictor, make_box_finder, make_labeller, write_images

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError, ShardError
from ovsam_pipeline.monitoring.report import RunReport
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.folder import iterate_rows, list_parts
from ovsam_pipeline.runs.run import LabelResult, run_labelling
from ovsam_pipeline.settings.label import LabelConfig

pytestmark = [
    pytest.mark.ray,
    # Ray 2.60, 2026-11: sockets and pipes of its own that it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def make_slow_labeller(config, embedding=None, *, seconds: float):
    return make_labeller(config, predictor=FakePredictor(seconds))


def slow(seconds: float):
    return partial(make_slow_labeller, seconds=seconds)


def configure(images: Path, **changes) -> LabelConfig:
    settings = {
        "sources": (str(images),),
        "engine": "ray",
        "num_actors": 2,
        "cpus_per_actor": 1,
        "detector": "fake",
    }
    return LabelConfig(**{**settings, **changes})


@contextmanager
def acting(action):
    """Call `action(report, stop)` from a thread while the run labels."""
    stop = StopRequest()
    seen = []

    @contextmanager
    def showing(report: RunReport):
        seen.append(report)
        thread = threading.Thread(target=action, args=(report, stop))
        thread.start()
        yield
        thread.join()

    @contextmanager
    def stopping():
        yield stop

    yield stopping(), showing, seen


def run(config: LabelConfig, output: Path, build=make_labeller, action=None) -> LabelResult:
    with acting(action or (lambda report, stop: None)) as (stopping, showing, seen):
        result = run_labelling(config, output, build, stopping, showing)
    run.report = seen[0]
    return result


def wait_for(condition, seconds: float = 60.0) -> None:
    until_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.02)


def read_rows(output: Path) -> dict[str, dict]:
    rows = list(iterate_rows(output))
    by_name = {row["file_name"]: row for row in rows}
    assert len(by_name) == len(rows)
    return by_name


def label_here(images: Path, output: Path) -> dict[str, dict]:
    config = LabelConfig(sources=(str(images),), engine="local", detector="fake")
    run_labelling(config, output, make_labeller)
    return read_rows(output)


def busy_process(report: RunReport) -> int:
    """The process of a worker that labels."""
    names = [name for name, w in list(report.workers.items()) if w.state == "labelling" and w.done]
    return int(names[0].rpartition(":")[2]) if names else 0


def kill_one(report: RunReport, stop: StopRequest) -> None:
    wait_for(lambda: busy_process(report))
    os.kill(busy_process(report), signal.SIGKILL)


def test_all_images_are_labelled_as_in_one_process(cluster, tmp_path) -> None:
    names = [f"{i:03d}.png" for i in range(60)] + ["empty.png", "detector_bug.png"]
    write_images(tmp_path / "images", 0, names)
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    result = run(configure(tmp_path / "images"), tmp_path / "ray")
    assert read_rows(tmp_path / "ray") == label_here(tmp_path / "images", tmp_path / "local")
    assert (result.summary.labelled, result.summary.empty, result.summary.failed) == (60, 1, 2)
    assert any("internal error: KeyError: " in reason for reason in result.summary.reasons)
    stages = [worker.stage_seconds.keys() for worker in run.report.workers.values() if worker.done]
    assert stages
    assert all({"decode", "detect", "segment", "write"} <= names for names in stages)
    assert [p for p in (tmp_path / "ray" / "parts").iterdir() if p.name.startswith(".")] == []


def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 80)
    result = run(configure(tmp_path / "images"), tmp_path / "ray", slow(0.05), kill_one)
    assert read_rows(tmp_path / "ray") == label_here(tmp_path / "images", tmp_path / "local")
    assert (result.summary.outcome, result.summary.done) == ("finished", 80)
    assert "lost" in {worker.state for worker in run.report.workers.values()}


def test_an_image_that_kills_its_worker_is_a_failed_row(cluster, tmp_path) -> None:
    names = [*(f"{i:03d}.png" for i in range(30)), "poison.png"]
    write_images(tmp_path / "images", 0, names)
    result = run(configure(tmp_path / "images"), tmp_path / "ray")
    row = read_rows(tmp_path / "ray").pop("poison.png")
    assert row["error"].startswith("its worker died 2 times while it was labelled (its process")
    assert (result.summary.labelled, result.summary.failed) == (30, 1)


def test_an_image_that_is_never_finished_is_a_failed_row(cluster, tmp_path) -> None:
    names = [*(f"{i:03d}.png" for i in range(20)), "hang.png"]
    write_images(tmp_path / "images", 0, names)
    config = configure(tmp_path / "images", image_timeout=10.0)
    result = run(config, tmp_path / "ray")
    row = read_rows(tmp_path / "ray").pop("hang.png")
    assert row["error"].startswith(
        "its worker died 2 times while it was labelled (it finished no image for 10 s)"
    )
    assert (result.summary.labelled, result.summary.failed) == (20, 1)


def test_a_stop_commits_what_is_done_and_the_next_run_does_the_rest(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 120)

    def ask(report, stop):
        wait_for(lambda: report.done >= 4)
        stop.request("interrupted")

    config = configure(tmp_path / "images")
    first = run(config, tmp_path / "ray", slow(0.1), ask)
    assert first.summary.outcome == "interrupted"
    assert 4 <= len(read_rows(tmp_path / "ray")) == first.summary.done < 120
    second = run(config, tmp_path / "ray")
    assert (second.summary.outcome, second.summary.done) == ("finished", 120 - first.summary.done)
    assert len(read_rows(tmp_path / "ray")) == 120


def test_a_part_that_a_lost_worker_wrote_late_gives_no_second_rows(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 40)

    def write_late(report, stop):
        wait_for(lambda: report.done >= 4)
        part = list_parts(tmp_path / "ray")[0]
        shutil.copy(part, part.with_name("part-" + "f" * 16 + ".parquet"))

    result = run(configure(tmp_path / "images"), tmp_path / "ray", slow(0.1), write_late)
    assert read_rows(tmp_path / "ray") == label_here(tmp_path / "images", tmp_path / "local")
    assert result.totals.images == 40


def test_a_spent_failure_budget_stops_the_run(cluster, tmp_path) -> None:
    # Listed by name: what fails comes first.
    names = [f"detector_bug_{i:03d}.png" for i in range(6)] + [f"z{i:03d}.png" for i in range(90)]
    write_images(tmp_path / "images", 0, names)
    (tmp_path / "images" / "z000.png").write_bytes(b"no picture")
    config = configure(tmp_path / "images", max_failures=2, num_actors=1)
    result = run(config, tmp_path / "ray", slow(0.05))
    assert result.summary.outcome == "over budget"
    assert result.summary.left > 0


def test_a_node_that_goes_costs_nothing_and_one_that_comes_takes_part(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 300)
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 << 20)]

    begun, results = queue.Queue(), []
    config = configure(tmp_path / "images", num_actors=None)
    build = slow(0.2)
    # Ray adds nodes in the main thread alone.
    labelling = threading.Thread(
        target=lambda: results.append(
            run(config, tmp_path / "ray", build, lambda report, stop: begun.put(report))
        )
    )
    labelling.start()
    report = begun.get(timeout=120)
    try:
        wait_for(lambda: len([w for w in list(report.workers.values()) if w.done]) == 3)
        cluster.remove_node(nodes.pop())
        wait_for(lambda: "lost" in {w.state for w in list(report.workers.values())})
        nodes.append(cluster.add_node(num_cpus=1, object_store_memory=100 << 20))
        wait_for(lambda: len([w for w in list(report.workers.values()) if w.done]) == 4)
    finally:
        labelling.join()
        for node in nodes:
            cluster.remove_node(node)
    assert (results[0].summary.labelled, results[0].summary.failed) == (300, 0)
    assert read_rows(tmp_path / "ray") == label_here(tmp_path / "images", tmp_path / "local")


def test_boxes_of_a_cluster_are_those_of_one_process(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 20)
    config = configure(tmp_path / "images")
    result = run_labelling(config, tmp_path / "ray", make_box_finder)
    here = LabelConfig(sources=(str(tmp_path / "images"),), engine="local", detector="fake")
    run_labelling(here, tmp_path / "local", make_box_finder)
    assert not result.has_labels
    assert read_rows(tmp_path / "ray") == read_rows(tmp_path / "local")


def refuse_to_build(config, embedding=None):
    raise ConfigError("expected --model as a name or a file, and there is no file x.pt")


def test_what_a_worker_cannot_load_is_said_as_on_one_machine(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 1)
    with pytest.raises(ConfigError, match=r"expected --model as a name or a file"):
        run(configure(tmp_path / "images"), tmp_path / "ray", refuse_to_build)


def exit_at_once(config, embedding=None):
    os._exit(1)


def test_a_worker_that_dies_while_it_loads_ends_the_run_with_a_sentence(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 1)
    with pytest.raises(ShardError, match="the first worker cannot start: its process died"):
        run(configure(tmp_path / "images"), tmp_path / "ray", exit_at_once)


def test_gpus_that_are_not_there_are_refused(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 1)
    config = configure(tmp_path / "images", num_gpus=1)
    with pytest.raises(ConfigError, match="GPUs are asked for, and Ray finds none"):
        run(config, tmp_path / "ray")


def test_a_part_that_cannot_be_written_ends_the_run_with_its_reason(cluster, tmp_path) -> None:
    write_images(tmp_path / "images", 40)

    def take_away(report, stop):
        wait_for(lambda: report.done)
        (tmp_path / "ray" / "parts").rename(tmp_path / "ray" / "gone")

    with pytest.raises(OutputError, match="cannot write"):
        run(configure(tmp_path / "images"), tmp_path / "ray", slow(0.1), take_away)
