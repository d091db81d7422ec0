import logging
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.monitoring import metrics_file
from ovsam_pipeline.monitoring.metrics_file import keep_metrics, record_failed_start
from ovsam_pipeline.monitoring.report import RunReport, WorkerState
from ovsam_pipeline.monitoring.run_state import RunState
from ovsam_pipeline.outcomes import classify_reason


def read(path):
    """The samples of a metrics file: (name, labels without output) → value; and the outputs."""
    samples, outputs = {}, set()
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            outputs.add(labels.pop("output"))
            assert (sample.name, *labels.values()) not in samples
            samples[(sample.name, *labels.values())] = sample.value
    return samples, outputs


def make_state(output, outcome=None, failed=1):
    report = RunReport(10)
    report.statuses.update({"labelled": 4, "empty": 2, "failed": failed})
    report.reasons.add("damaged PNG: truncated", "a.png")
    report.reasons.add("damaged JPEG: torn", "b.jpg", 2)
    report.transient = 2
    report.objects = 9
    report.workers["a"] = WorkerState("a", stage_seconds={"decode": 1.5})
    report.workers["b"] = WorkerState("b", stage_seconds={"decode": 0.5, "write": 0.25})
    state = RunState(output, report=report, plan={"new": 8, "changed": 2}, is_holding=True)
    state.end_phase("list")
    if outcome:
        state.finish(report.summarise(outcome))
    return state


def run(path, output, outcome="finished", failed=1):
    with keep_metrics(make_state(output, outcome, failed), str(path)):
        pass


def test_file_counts_images_stages_phases_and_the_plan(tmp_path):
    run(tmp_path / "a.prom", tmp_path / "out")
    found, outputs = read(tmp_path / "a.prom")
    assert outputs == {str(tmp_path / "out")}
    assert found["ovsam_run_images", "labelled"] == 4
    assert found["ovsam_run_images", "failed"] == 1
    assert (found["ovsam_run_objects",], found["ovsam_run_images_left",]) == (9, 3)
    assert found["ovsam_run_failures", "damaged"] == 3
    assert found["ovsam_run_failures_transient",] == 2
    assert found["ovsam_run_stage_seconds", "decode"] == 2.0
    assert found["ovsam_run_stage_seconds", "write"] == 0.25
    assert found["ovsam_run_plan_images", "new"] == 8
    assert ("ovsam_run_phase_seconds", "list") in found
    assert found["ovsam_run_in_progress",] == 0
    assert found["ovsam_last_run_exit_code",] == 3


def test_every_family_has_help_and_names_its_unit(tmp_path):
    run(tmp_path / "a.prom", tmp_path / "out")
    for family in text_string_to_metric_families((tmp_path / "a.prom").read_text()):
        assert family.documentation.endswith(".")
        assert family.type == "gauge"
        assert family.name.startswith("ovsam_")
        assert not family.name.endswith("_total")


@pytest.mark.parametrize(
    ("outcome", "failed", "is_success"),
    [
        ("finished", 0, True),
        ("finished", 1, True),
        ("time limit", 0, False),
        ("over budget", 1, False),
    ],
)
def test_success_is_a_run_that_finished(tmp_path, outcome, failed, is_success):
    run(tmp_path / "a.prom", tmp_path, outcome, failed)
    found, _ = read(tmp_path / "a.prom")
    assert (("ovsam_last_success_timestamp_seconds",) in found) is is_success
    assert found["ovsam_last_run_timestamp_seconds",] == pytest.approx(time.time(), abs=60)


def test_last_success_is_kept_when_a_run_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.prom"
    run(path, tmp_path)
    before, _ = read(path)
    monkeypatch.setattr(metrics_file.time, "time", lambda: 5e9)
    with pytest.raises(OutputError), keep_metrics(make_state(tmp_path), str(path)):
        raise OutputError("disk full")
    after, _ = read(path)
    name = ("ovsam_last_success_timestamp_seconds",)
    assert after[name] == before[name]
    assert after["ovsam_last_run_timestamp_seconds",] == 5e9
    assert after["ovsam_last_run_exit_code",] == 1


def test_running_shows_the_counts_and_how_the_run_before_ended(tmp_path):
    path = tmp_path / "a.prom"
    run(path, tmp_path)
    with keep_metrics(make_state(tmp_path), str(path)):
        metrics_file._MetricsFile(str(path)).write_when_due(make_state(tmp_path))
        found, _ = read(path)
    assert found["ovsam_run_in_progress",] == 1
    assert found["ovsam_last_run_exit_code",] == 3


def test_file_is_written_while_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics_file, "_CHECK_EVERY_S", 0.01)
    path = tmp_path / "a.prom"
    with keep_metrics(make_state(tmp_path), str(path)):
        deadline = time.monotonic() + 5
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_written_again_only_when_due(tmp_path, monkeypatch):
    file, state = metrics_file._MetricsFile(str(tmp_path / "a.prom")), make_state(tmp_path)
    file.write_when_due(state)
    (tmp_path / "a.prom").unlink()
    file.write_when_due(state)
    assert not (tmp_path / "a.prom").exists()
    monkeypatch.setattr(metrics_file, "_EVERY_S", 0.0)
    file.write_when_due(state)
    assert (tmp_path / "a.prom").exists()


def test_run_that_finds_its_output_held_leaves_the_others_file(tmp_path):
    path = tmp_path / "a.prom"
    run(path, tmp_path)
    before = path.read_text()
    state = RunState(tmp_path)
    metrics_file._MetricsFile(str(path)).write_when_due(state)
    with pytest.raises(OutputLockedError), keep_metrics(state, str(path)):
        raise OutputLockedError("held")
    assert path.read_text() == before


def test_wrong_setting_is_counted_under_the_output_that_the_file_knows(tmp_path):
    path = tmp_path / "a.prom"
    run(path, tmp_path / "out")
    with pytest.raises(ConfigError), record_failed_start(str(path)):
        raise ConfigError("expected --conf from 0 to 1")
    found, outputs = read(path)
    assert outputs == {str(tmp_path / "out")}
    assert found["ovsam_last_run_exit_code",] == 2
    assert ("ovsam_last_success_timestamp_seconds",) in found


def test_without_a_file_nothing_is_written_and_errors_pass(tmp_path):
    with pytest.raises(ConfigError), record_failed_start(None):
        raise ConfigError("x")
    with keep_metrics(make_state(tmp_path), None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there_is_refused_before_the_work(tmp_path):
    path = tmp_path / "nowhere" / "a.prom"
    sentence = f"expected --metrics-file in a folder that can be written, got {path}: No such file"
    with pytest.raises(ConfigError, match=sentence), keep_metrics(RunState(tmp_path), str(path)):
        raise AssertionError("not reached")


def test_name_that_a_node_exporter_does_not_read_is_a_warning(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "ovsam_pipeline.monitoring.metrics_file")
    with keep_metrics(make_state(tmp_path), str(tmp_path / "a.txt")):
        pass
    assert "a.txt does not end in .prom: a node exporter will not read it" in caplog.text


def test_disk_that_fills_up_is_one_warning_and_the_run_goes_on(tmp_path, caplog, monkeypatch):
    folder = tmp_path / "metrics"
    folder.mkdir()
    caplog.set_level(logging.WARNING, "ovsam_pipeline.monitoring.metrics_file")
    monkeypatch.setattr(metrics_file, "_CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(metrics_file, "_EVERY_S", 0.0)
    with keep_metrics(make_state(tmp_path), str(folder / "a.prom")):
        folder.rename(tmp_path / "gone")
        time.sleep(0.1)
    assert len(caplog.records) == 1
    assert "cannot write the metrics file" in caplog.text


@pytest.mark.parametrize("content", ["no metrics {", "# HELP x y\nx 1\n"])
def test_foreign_file_is_replaced(tmp_path, content):
    path = tmp_path / "a.prom"
    path.write_text(content)
    run(path, tmp_path)
    assert "ovsam_run_objects" in path.read_text()
    assert "\nx 1" not in path.read_text()


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("file not found: it was moved", "missing"),
        ("permission denied: …", "unreadable"),
        ("cannot be read: …", "unreadable"),
        ("damaged PNG: …", "damaged"),
        ("file is empty (… bytes)", "damaged"),
        ("expected at most … megapixels", "too_large"),
        ("expected an image file, got a folder", "unsupported"),
        ("out of memory; a smaller --max-det", "memory"),
        ("internal error: KeyError", "internal"),
        ("its worker died … times while it was labelled (…)", "worker"),
        ("the storage failed: …", "storage"),
        ("the storage refused access: …", "storage"),
        ("the networks refused it: …", "model"),
        ("something new", "other"),
    ],
)
def test_reasons_fall_into_few_classes(reason, expected):
    assert classify_reason(reason) == expected


def test_a_thousand_different_reasons_are_few_series(tmp_path):
    state = make_state(tmp_path)
    for index in range(1000):
        state.report.reasons.add(f"odd thing {'x' * index}", "a.png")
    with keep_metrics(state, str(tmp_path / "a.prom")):
        pass
    found, _ = read(tmp_path / "a.prom")
    assert {key[1]: v for key, v in found.items() if key[0] == "ovsam_run_failures"} == {
        "damaged": 3,
        "other": 1000,
    }


def test_output_label_is_the_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with keep_metrics(make_state(Path("out")), "a.prom"):
        pass
    assert read(Path("a.prom"))[1] == {str(tmp_path / "out")}
