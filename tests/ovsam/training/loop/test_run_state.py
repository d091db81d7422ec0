"""Checkpoints of a run: exact, whole, few, and of this run alone."""

import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import ANY

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tiny_run import TinyStep, read_curve, train
from torch import nn

from ovsam.errors import CheckpointError, ConfigError, TrainingError
from ovsam.training.loop import run_state
from ovsam.training.loop.loop import LoopSettings, TrainingRun
from ovsam.training.loop.run_state import list_checkpoints
from ovsam.training.loop.settings import FREE, list_binding
from ovsam.training.loop.stopping import RunStoppedError, stop_signal


@pytest.fixture(autouse=True)
def _no_wish():
    yield
    stop_signal.clear()


class StopAt(TinyStep):
    """Ends the run in the middle, as a power cut would: nothing is saved."""

    def __init__(self, at, **values):
        super().__init__(**values)
        self.at = at

    def __call__(self, step, progress, random):
        if step == self.at:
            raise OSError("power cut")
        return super().__call__(step, progress, random)


def _cut(folder, at, **loop):
    with pytest.raises(OSError, match="power cut"):
        train(folder, step=StopAt(at, dropout=0.5), **loop)


@pytest.mark.parametrize(
    "loop",
    [{}, {"accumulate": 2}, {"ema_decay": 0.9}, {"log_every": 3}],
    ids=["plain", "accumulated", "averaged", "between two lines"],
)
def test_losses_and_weights_of_a_resumed_run_are_those_of_an_unbroken_one(tmp_path, loop):
    whole, _ = train(tmp_path / "whole", step=TinyStep(dropout=0.5), **loop)
    _cut(tmp_path / "cut", 8, save_every=5, **loop)
    resumed, run = train(tmp_path / "cut", step=TinyStep(dropout=0.5), **loop)
    count = loop.get("accumulate", 1)
    assert resumed.seen == whole.seen[5 * count :]
    assert read_curve(tmp_path / "cut") == read_curve(tmp_path / "whole")
    for own, other in zip(resumed.head.parameters(), whole.head.parameters(), strict=True):
        assert torch.equal(own, other)
    assert run.state.step == 12


def test_moments_of_channels_last_kernels_stay_with_their_weights(tmp_path):
    def run(steps, folder):
        torch.manual_seed(0)
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

        def compute(step, progress, random):
            if step == steps:
                raise OSError("power cut")
            pixels = torch.from_numpy(random.shared().normal(size=(2, 3, 6, 6))).float()
            return {"mse": (model(pixels) - pixels.mean()).square().mean()}

        loop = LoopSettings(steps=8, save_every=1, log_every=1)
        with suppress(OSError):
            TrainingRun({"conv": model}, loop, tmp_path / folder).run(compute)
        return model.weight

    run(4, "cut")
    assert torch.equal(run(8, "cut"), run(8, "whole"))


def test_only_the_newest_checkpoints_stay(tmp_path):
    train(tmp_path, save_every=2, keep_checkpoints=3)
    names = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert names == [
        f"checkpoint-{step:08d}.{kind}" for step in (8, 10, 12) for kind in ("json", "safetensors")
    ]


def _damage_weights(path):
    content = bytearray(path.with_suffix(".safetensors").read_bytes())
    content[-3] ^= 1
    path.with_suffix(".safetensors").write_bytes(content)


def _cut_weights(path):
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:100])


DAMAGES = {
    "flipped bit": _damage_weights,
    "cut weights": _cut_weights,
    "lost weights": lambda path: path.with_suffix(".safetensors").unlink(),
    "cut json": lambda path: path.write_text(path.read_text()[:20]),
    "other version": lambda path: path.write_text(path.read_text().replace(": 1,", ": 9,", 1)),
    "deep json": lambda path: path.write_text("[" * 100_000),
    "text as step": lambda path: path.write_text(path.read_text().replace(": 12,", ': "12",', 1)),
    "other step": lambda path: path.write_text(path.read_text().replace(": 12,", ": 13,", 1)),
    "lost value": lambda path: path.write_text(path.read_text().replace('"sums"', '"sum"')),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, damage, caplog):
    whole, _ = train(tmp_path / "whole")
    train(tmp_path / "cut", save_every=6)
    damage(list_checkpoints(tmp_path / "cut")[0])
    with caplog.at_level(logging.WARNING):
        resumed, _ = train(tmp_path / "cut")
    assert "is damaged" in caplog.text
    assert resumed.seen == whole.seen[6:]
    assert read_curve(tmp_path / "cut") == read_curve(tmp_path / "whole")


def test_damaged_checkpoint_of_a_later_step_is_removed_by_the_next_one(tmp_path):
    train(tmp_path, save_every=4, keep_checkpoints=2)
    _cut_weights(list_checkpoints(tmp_path)[0])
    _cut(tmp_path, 11, save_every=2, keep_checkpoints=1)
    assert [path.stem[-2:] for path in list_checkpoints(tmp_path)] == ["10"]


def test_only_damaged_checkpoints_are_refused(tmp_path):
    train(tmp_path, keep_checkpoints=1)
    _damage_weights(list_checkpoints(tmp_path)[0])
    with pytest.raises(CheckpointError, match=r"got 1 damaged ones; remove checkpoint-\*"):
        train(tmp_path)


def test_leftovers_of_a_killed_write_are_swept(tmp_path):
    tmp_path.joinpath("checkpoint-00000003.safetensors").write_bytes(b"half")
    tmp_path.joinpath(".checkpoint-00000003.json.tmp-7-ab12").write_bytes(b"half")
    train(tmp_path)
    assert {path.stem for path in tmp_path.glob("*checkpoint-*")} == {"checkpoint-00000012"}


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        ({"seed": 1}, r"expected loop.seed 0 as in .*, got 1; set it back to resume"),
        ({"steps": 20}, r"expected loop.steps 12 .*, got 20"),
        ({"accumulate": 2}, r"expected loop.accumulate 1 .*, got 2"),
    ],
)
def test_checkpoint_of_other_settings_is_refused(tmp_path, loop, message):
    train(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        train(tmp_path, **loop)


def test_settings_that_reach_no_weight_may_change(tmp_path):
    train(tmp_path)
    _, run = train(tmp_path, log_every=5, save_every=1, keep_checkpoints=9, skip_bad_steps=2)
    assert run.state.step == 12


def test_checkpoint_of_another_stage_is_refused(tmp_path):
    loop = LoopSettings(steps=1)
    TrainingRun({"head": nn.Linear(2, 2)}, loop, tmp_path, about=LoopSettings(steps=3)).save()
    with pytest.raises(CheckpointError, match=r"expected stage.steps 3 .*, got 4"):
        TrainingRun({"head": nn.Linear(2, 2)}, loop, tmp_path, about=LoopSettings(steps=4))


@pytest.mark.parametrize("name", ["head", "other"])
def test_checkpoint_of_another_model_is_refused(tmp_path, name):
    loop = LoopSettings(steps=1)
    TrainingRun({"head": nn.Linear(2, 2)}, loop, tmp_path).save()
    with pytest.raises(CheckpointError, match=r"of this model .*; give another --out folder"):
        TrainingRun({name: nn.Linear(3, 3)}, loop, tmp_path)


def test_checkpoint_holds_tensors_and_plain_values(tmp_path):
    train(tmp_path, ema_decay=0.5)
    path = list_checkpoints(tmp_path)[0]
    content = json.loads(path.read_text())
    tensors = load_file(path.with_suffix(".safetensors"))
    assert content["step"] == 12
    assert content["settings"]["loop.optimiser.learning_rate"] == 0.01
    assert {name.split(".")[0] for name in tensors} == {"module", "optimiser", "average"}


@pytest.mark.parametrize(
    "values",
    [{"accumulate": 0}, {"log_every": 0}, {"keep_checkpoints": 0}, {"ema_decay": 1.0}],
)
def test_impossible_loop_numbers_are_refused(values):
    (name,) = values
    with pytest.raises(ConfigError, match=rf"loop\.{name} must be"):
        LoopSettings(steps=1, **values)


def test_stop_request_ends_after_the_step_and_saves(tmp_path):
    class Asked(TinyStep):
        def __call__(self, step, progress, random):
            if step == 4:
                stop_signal.request(15)
            return super().__call__(step, progress, random)

    whole, _ = train(tmp_path / "whole")
    with pytest.raises(RunStoppedError, match="saved at step 5; run the same command"):
        train(tmp_path / "cut", step=Asked())
    stop_signal.clear()
    resumed, _ = train(tmp_path / "cut")
    assert resumed.seen == whole.seen[5:]


@dataclass(frozen=True)
class _Part:
    path: Path
    share: float = 1.0


@dataclass(frozen=True)
class _Stage:
    parts: tuple[_Part, ...]
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(steps=1))
    threads: int = field(default=0, metadata=FREE)


def test_binding_settings_are_plain_values_by_dotted_name():
    stage = _Stage((_Part(Path("a")),))
    found = list_binding(stage, "stage")
    assert found["stage.parts[0].path"] == "a"
    assert found["stage.loop.optimiser.beta1"] == 0.9
    assert not {"stage.threads", "stage.loop.log_every"} & set(found)
    assert json.loads(json.dumps(found)) == {**found, "stage.loop.schedule.milestones": ANY}


def test_full_disk_while_saving_is_a_sentence_and_the_run_resumes(tmp_path, monkeypatch):
    def fail(tensors, path, *_):
        Path(path).write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    whole, _ = train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        with suppress(OSError):
            train(tmp_path / "cut", step=StopAt(9), save_every=6)
        patch.setattr(run_state, "save_file", fail)
        with pytest.raises(TrainingError, match=r"cannot save the checkpoint .*No space left"):
            train(tmp_path / "cut", save_every=6)
    assert not list((tmp_path / "cut").glob(".*"))
    resumed, _ = train(tmp_path / "cut", save_every=6)
    assert resumed.seen == whole.seen[6:]


def test_checkpoints_have_the_mode_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        train(tmp_path, steps=1)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.glob("checkpoint-*")}
    assert modes == {0o640}
