"""The log of a run: numbers a line, each step once, TensorBoard where it is installed."""

import json
import sys
from types import ModuleType

import pytest
from tiny_run import read_log, train

from ovsam.errors import TrainingError
from ovsam.training.loop import run_log
from ovsam.training.loop.run_log import RunLog


def test_line_has_losses_rate_speed_and_memory(tmp_path):
    train(tmp_path, steps=4, log_every=2)
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [2, 4]
    for line in lines:
        assert line["mse"] > 0
        assert line["grad_norm"] > 0
        assert line["images_per_s"] > 0
        assert line["data_wait_s"] >= 0
        assert 10 < line["peak_memory_mb"] < 100_000
        assert line["progress"] == line["step"] / 4


def test_lines_past_the_checkpoint_and_cut_lines_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    RunLog(path).begin(2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_what_a_step_has_said_is_not_written_twice(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    for _ in range(2):
        log.begin(5)
        log.write(step=5, mse=1.0)
        log.write(step=5, evaluation={"iou": 0.5})
    assert len(read_log(tmp_path)) == 2


def test_other_processes_write_nothing(tmp_path):
    log = RunLog(tmp_path / "run" / "log.jsonl", is_written=False)
    log.begin(0)
    log.write(step=1)
    log.sync()
    assert not (tmp_path / "run").exists()


@pytest.fixture
def drawn(monkeypatch):
    """A TensorBoard that remembers what it is told."""
    found = []

    class Writer:
        def __init__(self, folder, purge_step):
            found.append(("begin", purge_step))

        def add_scalar(self, name, value, step):
            found.append((name, value, step))

        def flush(self):
            found.append("flush")

        def close(self):
            found.append("close")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(run_log.importlib.util, "find_spec", lambda name: name)
    return found


def test_tensorboard_draws_every_number_at_its_step(tmp_path, drawn):
    log = RunLog(tmp_path / "log.jsonl")
    log.begin(4)
    log.write(step=5, elapsed_s=1.0, mse=0.5)
    log.write(step=5, evaluation={"iou": 0.7})
    log.sync()
    log.close()
    assert drawn == [
        ("begin", 5),
        ("training/mse", 0.5, 5),
        ("evaluation/iou", 0.7, 5),
        "flush",
        "close",
    ]


def test_lines_go_to_logging_with_their_numbers(tmp_path, caplog):
    with caplog.at_level("INFO"):
        train(tmp_path, steps=1)
    (record,) = [record for record in caplog.records if hasattr(record, "numbers")]
    assert record.numbers == json.loads(record.getMessage())


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe", b"[" * 100_000, b"[1]", b'{"step": "x"}', b'{"step": 1e999}', b"no"]
)
def test_damaged_lines_are_left_out_and_kept_aside(tmp_path, caplog, damage):
    train(tmp_path, steps=2)
    path = tmp_path / "log.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + damage + b"\n")
    train(tmp_path, steps=2)
    assert path.read_bytes() == before
    assert (tmp_path / "log-damaged.jsonl").read_bytes() == before + damage + b"\n"
    assert "has 1 damaged lines" in caplog.text


def test_log_that_is_a_folder_is_a_sentence(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(TrainingError, match=r"cannot write .*log.jsonl: Is a directory"):
        train(tmp_path, steps=1)
