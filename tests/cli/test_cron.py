"""What a run from cron or a timer promises: quiet or JSON logs, limits, budgets, metrics, codes."""

import json
import re

import pytest
from fake_labeller import make_box_finder, write_images

from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows
from ovsam_pipeline.terminal.notes import choose_logs


@pytest.fixture(autouse=True)
def own_logs():
    yield
    choose_logs()


def read_statuses(out):
    return {row["file_name"]: row["status"] for row in iterate_rows(out)}


def read_metric(path, name):
    """The value of a metric without a second label; None where it is not there."""
    found = re.search(rf"^{name}{{output=\"[^\"]*\"}} (\S+)$", path.read_text(), re.MULTILINE)
    return float(found[1]) if found else None


def test_quiet_run_says_nothing_but_the_summary(run_ovsam, images):
    found = run_ovsam("label", images, "--quiet")
    assert (found.code, found.err) == (0, "")
    assert "6 labelled (12 objects)" in found.out
    found = run_ovsam("label", images, "-q")
    assert (found.err, found.out.splitlines()[0]) == (
        "",
        "nothing to do: all 6 images have their labels",
    )


def test_quiet_run_still_tells_errors(run_ovsam, images):
    found = run_ovsam("label", images, "--quiet", "--conf", "2")
    assert found.err == "ovsam: expected --conf from 0 to 1, got 2.0\n"


def test_json_log_is_one_object_a_line_and_leaves_stdout_alone(run_ovsam, images):
    (images / "note.txt").write_text("no image")
    found = run_ovsam("label", images, "--log-format", "json", "--json")
    assert json.loads(found.out)["labelled"] == 6
    lines = [json.loads(line) for line in found.err.splitlines()]
    assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
    assert (lines[-1]["event"], lines[-1]["done"], lines[-1]["labelled"]) == ("progress", 6, 6)
    assert lines[0]["logger"] == "ovsam_pipeline.runs.run"


def test_errors_are_json_too(run_ovsam, images):
    found = run_ovsam("label", images, "--log-format", "json", "--conf", "2")
    line = json.loads(found.err)
    assert (found.code, line["exit_code"], line["level"]) == (2, 2, "error")
    assert line["message"] == "ovsam: expected --conf from 0 to 1, got 2.0"


def test_unknown_log_format_is_exit_code_2(run_ovsam, images):
    found = run_ovsam("label", images, "--log-format", "xml")
    assert (found.code, "expected --log-format as one of text, json" in found.err) == (2, True)


def test_detect_has_the_same_logs(run_ovsam, images, monkeypatch):
    monkeypatch.setattr(builders, "build_box_finder", make_box_finder)
    assert run_ovsam("detect", images, "--quiet").err == ""
    found = run_ovsam("detect", images, "--log-format", "json", "--on-existing", "overwrite")
    assert json.loads(found.err.splitlines()[-1])["event"] == "progress"


def test_eval_has_the_same_logs(run_ovsam, tmp_path):
    found = run_ovsam("eval", "--dataset", tmp_path / "no.json", "--log-format", "json")
    assert json.loads(found.err)["exit_code"] == found.code == 2


def test_time_limit_stops_with_exit_code_6_and_the_same_command_goes_on(
    run_ovsam, tmp_path, monkeypatch
):
    write_images(tmp_path / "images", 40)
    monkeypatch.setenv("FAKE_SECONDS", "0.05")
    found = run_ovsam("label", tmp_path / "images", "-o", tmp_path / "out", "--time-limit", "0.4s")
    left = int(re.search(r"stopped at the time limit with (\d+) images left", found.out)[1])
    assert found.code == 6
    assert 0 < left < 40
    assert len(read_statuses(tmp_path / "out")) == 40 - left
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "time limit"
    monkeypatch.setenv("FAKE_SECONDS", "0")
    found = run_ovsam("label", tmp_path / "images", "-o", tmp_path / "out", "--time-limit", "1h")
    assert (found.code, f"{left} images in" in found.out) == (0, True)
    assert len(read_statuses(tmp_path / "out")) == 40


def test_time_limit_counts_what_came_before_labelling(run_ovsam, images, monkeypatch):
    from ovsam_pipeline.runs import run as label_run

    class SlowSpool(label_run.ImageSpool):
        def __init__(self, *given):
            super().__init__(*given)
            monkeypatch.setattr(label_run.RunState, "seconds", 100.0)

    monkeypatch.setattr(label_run, "ImageSpool", SlowSpool)
    found = run_ovsam("label", images, "--time-limit", "99")
    assert (found.code, "stopped at the time limit with 6 images left" in found.out) == (6, True)


def test_wrong_time_limit_is_exit_code_2(run_ovsam, images):
    found = run_ovsam("label", images, "--time-limit", "soon")
    assert (found.code, "expected --time-limit as 6h, 90m" in found.err) == (2, True)


def test_timings_of_phases_and_stages_are_in_the_run_file(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert list(run["phase_seconds"]) == ["list", "load", "plan", "label", "export"]
    assert set(run["stage_seconds"]) == {"decode", "detect", "segment", "write"}
    assert run["stage_seconds"]["write"] > 0
    assert run["images_per_s"] == pytest.approx(6 / run["run"]["seconds"], rel=0.01)
    assert sum(run["phase_seconds"].values()) < 60


def test_metrics_file_follows_success_failure_and_wrong_settings(run_ovsam, images, tmp_path):
    path = tmp_path / "ovsam.prom"
    command = ("label", images, "-o", tmp_path / "out", "--metrics-file", path)
    assert run_ovsam(*command).code == 0
    success = read_metric(path, "ovsam_last_success_timestamp_seconds")
    assert read_metric(path, "ovsam_run_objects") == 12
    for flags, code in ((["--conf", "2"], 2), (["--conf", "0.5"], 2), (["--class-map", "no"], 2)):
        found = run_ovsam(*command, *flags)
        if flags[0] == "--conf":
            assert (found.code, read_metric(path, "ovsam_last_run_exit_code")) == (code, code)
        assert read_metric(path, "ovsam_last_success_timestamp_seconds") >= success
    (tmp_path / "gone").mkdir()
    found = run_ovsam("label", tmp_path / "gone", "-o", tmp_path / "out", "--metrics-file", path)
    assert (found.code, read_metric(path, "ovsam_last_run_exit_code")) == (2, 2)


def test_metrics_file_is_left_alone_by_a_run_that_finds_the_output_held(
    run_ovsam, images, tmp_path
):
    path = tmp_path / "ovsam.prom"
    command = ("label", images, "-o", tmp_path / "out", "--metrics-file", path)
    run_ovsam(*command)
    before = path.read_text()
    with OutputFolder(tmp_path / "out"):
        assert run_ovsam(*command).code == 75
    assert path.read_text() == before


def fail_two(images):
    for name in ("bad1.png", "bad2.png"):
        (images / name).write_bytes(b"no picture")


def test_retry_failed_of_an_output_tries_its_failed_images_alone(
    run_ovsam, images, tmp_path, monkeypatch
):
    fail_two(images)
    monkeypatch.chdir(tmp_path)
    options = ["--conf", "0.5", "--max-failures", "5", "--part-images", "3"]
    assert run_ovsam("label", "images", "-o", "out", *options).code == 3
    good = (images / "0000.png").read_bytes()
    (images / "bad1.png").write_bytes(good)
    (images / "new.png").write_bytes(good)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = run_ovsam("label", "--retry-failed", tmp_path / "out", "--json")
    summary = json.loads(found.out)
    assert (found.code, summary["labelled"], summary["failed"], summary["left"]) == (3, 1, 1, 0)
    assert summary["deleted"] == 0
    statuses = read_statuses(tmp_path / "out")
    assert (statuses["bad1.png"], statuses["bad2.png"]) == ("labelled", "failed")
    assert "new.png" not in statuses
    assert len(statuses) == 8


def test_retry_failed_takes_settings_of_the_command_line_first(run_ovsam, images, tmp_path):
    fail_two(images)
    run_ovsam("label", images, "-o", tmp_path / "out", "--conf", "0.5", "--max-failures", "9")
    found = run_ovsam("label", "--retry-failed", tmp_path / "out", "--max-failures", "0")
    assert found.code == 4
    found = run_ovsam("label", "--retry-failed", tmp_path / "out", "--conf", "0.4")
    assert (found.code, "other settings: conf (0.5 before, 0.4 now)" in found.err) == (2, True)


def test_retry_failed_of_an_output_without_failures_has_nothing_to_do(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("label", "--retry-failed", tmp_path / "out")
    assert found.code == 0
    assert found.out.startswith(f"nothing to do: no image in {tmp_path / 'out'} failed\n")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["-o", "other"], "writes into that folder, but -o other is another one; drop -o"),
        (["--prune"], "labels failed images only; drop --prune"),
        (["--on-existing", "overwrite"], "resumes that output; drop --on-existing"),
    ],
)
def test_retry_failed_refuses_what_contradicts_it(run_ovsam, images, tmp_path, flags, sentence):
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("label", "--retry-failed", tmp_path / "out", *flags)
    assert (found.code, sentence in found.err) == (2, True)


def test_retry_failed_needs_the_sources_and_the_run_file(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    images.rename(tmp_path / "moved")
    found = run_ovsam("label", "--retry-failed", tmp_path / "out")
    assert (found.code, "give its new location: ovsam label SOURCES -o" in found.err) == (2, True)
    (tmp_path / "out" / "run.json").unlink()
    found = run_ovsam("label", "--retry-failed", tmp_path / "out")
    assert (found.code, "does not record the run's sources and settings" in found.err) == (2, True)


def test_retry_failed_with_sources_also_labels_new_images(run_ovsam, images, tmp_path):
    fail_two(images)
    run_ovsam("label", images, "-o", tmp_path / "out")
    (images / "new.png").write_bytes((images / "0000.png").read_bytes())
    found = run_ovsam("label", images, "-o", tmp_path / "out", "--retry-failed", "--json")
    summary = json.loads(found.out)
    assert (summary["retried"], summary["new"]) == (2, 1)


def test_failure_rate_is_of_the_images_that_this_run_has_to_label(run_ovsam, images, tmp_path):
    command = ("label", images, "-o", tmp_path / "out", "--max-failure-rate", "0.05")
    assert run_ovsam(*command).code == 0
    fail_two(images)
    # Two of three new images fail, where one of twenty may: the last one is not tried.
    (images / "new.png").write_bytes((images / "0000.png").read_bytes())
    found = run_ovsam(*command)
    assert (found.code, "more than --max-failure-rate allows; stopped with" in found.out) == (
        4,
        True,
    )
    # The two that failed before are no failures of the next run.
    assert run_ovsam(*command).code == 0


def test_a_broken_image_ends_no_night_of_the_packaged_config(run_ovsam, images, tmp_path):
    command = ("label", images, "-o", tmp_path / "out", "--config", "label-nightly")
    fail_two(images)
    assert [run_ovsam(*command).code for _ in range(3)] == [3, 0, 0]
    (images / "zzz.png").write_bytes(b"no picture")
    assert [run_ovsam(*command).code for _ in range(2)] == [3, 0]


def test_rate_on_the_edge_is_within_the_budget(run_ovsam, images, tmp_path):
    fail_two(images)
    command = ("label", images, "-o", tmp_path / "out", "--max-failure-rate", "0.25")
    assert run_ovsam(*command).code == 3


def test_deleted_images_are_counted_and_pruned_when_asked(run_ovsam, images, tmp_path):
    command = ("label", images, "-o", tmp_path / "out")
    run_ovsam(*command)
    (images / "0000.png").unlink()
    (images / "0001.png").write_bytes((images / "0002.png").read_bytes())
    (images / "new.png").write_bytes((images / "0002.png").read_bytes())
    summary = json.loads(run_ovsam(*command, "--json").out)
    counts = {name: summary[name] for name in ("new", "changed", "deleted", "pruned", "unchanged")}
    assert counts == {"new": 1, "changed": 1, "deleted": 1, "pruned": 0, "unchanged": 4}
    found = run_ovsam(*command)
    assert "1 row belongs to an image that is no longer in the sources; --prune rem" in found.out
    assert "0000.png" in read_statuses(tmp_path / "out")
    path = tmp_path / "a.prom"
    found = run_ovsam(*command, "--prune", "--metrics-file", path)
    assert "1 row of an image no longer in the sources was removed" in found.out
    assert "0000.png" not in read_statuses(tmp_path / "out")
    assert 'ovsam_run_plan_images{change="pruned"' in path.read_text()
    annotations = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert len(annotations["images"]) == 6
    summary = json.loads(run_ovsam(*command, "--prune", "--json").out)
    assert (summary["deleted"], summary["pruned"], summary["totals"]["images"]) == (0, 0, 6)


def test_folder_whose_images_are_all_gone_is_an_error_and_nothing_is_pruned(
    run_ovsam, images, tmp_path
):
    command = ("label", images, "-o", tmp_path / "out", "--prune")
    run_ovsam(*command)
    for path in images.iterdir():
        path.unlink()
    # An unmounted disk looks like this.
    assert run_ovsam(*command).code == 2
    assert len(read_statuses(tmp_path / "out")) == 6


def test_what_ended_a_command_is_the_result_of_json(run_ovsam, images):
    done = run_ovsam("label", images / "gone", "--json")
    sentence = f"expected a folder, file or glob, got {images / 'gone'}, which is not there"
    assert json.loads(done.out) == {"error": sentence, "exit_code": 2}
    assert run_ovsam("label", images / "gone").out == ""
