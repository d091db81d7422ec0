"""What the end of a training means, and options that say nothing together."""

import copy
import importlib.util
from pathlib import Path

import pytest
from safetensors import SafetensorError

from ovsam.errors import ConfigError, MissingDependencyError, TrainingError
from ovsam.training.loop.stopping import RunStoppedError
from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.output.folder import is_output
from ovsam_pipeline.settings.config_file import find_training_config
from ovsam_pipeline.training import run as training_run
from ovsam_pipeline.training.request import StageRequest
from ovsam_pipeline.training.run import TrainingPlace, run_training


@pytest.fixture
def request_of(tmp_path):
    return StageRequest(stage="labels", out=tmp_path)


@pytest.mark.parametrize(
    ("is_interrupted", "code"), [(False, 0), (True, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_stopped_run_has_its_exit_code_and_says_so(
    monkeypatch, capsys, request_of, is_interrupted, code
):
    def stop(request):
        raise RunStoppedError(7, is_interrupted=is_interrupted)

    monkeypatch.setattr(training_run, "run_stage", stop)
    assert run_training(request_of, TrainingPlace()) == code
    said = capsys.readouterr().err
    assert said == "ovsam: stopped and saved at step 7; run the same command to resume\n"


def test_finished_run_ends_with_0(monkeypatch, request_of):
    monkeypatch.setattr(training_run, "run_stage", lambda request: None)
    assert run_training(request_of, TrainingPlace()) == 0


def test_other_processes_of_torchrun_say_nothing(monkeypatch, capsys, request_of):
    def stop(request):
        raise RunStoppedError(7, is_interrupted=False)

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(training_run, "run_stage", stop)
    assert run_training(request_of, TrainingPlace()) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "expected --threads of at least 1, got 0"),
        ({"engine": "ray"}, "--engine ray needs --num-workers N"),
        ({"num_workers": 2}, "started by torchrun --nproc-per-node N"),
        ({"address": "auto"}, "are of --engine ray"),
    ],
)
def test_options_that_say_nothing_together_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TrainingPlace(**options)


def test_missing_ray_names_the_package(monkeypatch, request_of):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install ray"):
        run_training(request_of, TrainingPlace(engine="ray", num_workers=2))


def test_stop_crosses_processes_whole():
    stop = copy.copy(RunStoppedError(7, is_interrupted=True))  # as pickle does it
    assert (stop.step, stop.is_interrupted) == (7, True)


def test_configs_of_stages_are_found_by_name_or_path(tmp_path):
    packaged = find_training_config(Path("finetune-labels"))
    assert packaged.name == "finetune-labels.yaml"
    assert find_training_config(packaged) == packaged
    assert StageRequest(stage="labels", out=tmp_path, config=Path("finetune-labels")).values()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("finetune-label", r"'finetune-label' \(did you mean 'finetune-labels' or .*\)$"),
        ("configs/x/nano-clip.yaml", r"'configs/x/nano-clip.yaml' \(did you mean 'nano-clip'\?\)$"),
        ("mine.yaml", r"no config file 'mine.yaml'$"),
        ("qqq", "no config file 'qqq'; packaged ones: adapter-.*, finetune-labels, "),
    ],
)
def test_a_config_that_is_not_there_is_a_sentence(name, message):
    with pytest.raises(ConfigError, match=message):
        find_training_config(Path(name))


def test_two_trainings_never_share_a_folder(monkeypatch, request_of):
    def run_again(request):
        with pytest.raises(OutputLockedError, match="is being written by process"):
            run_training(request, TrainingPlace())

    monkeypatch.setattr(training_run, "run_stage", run_again)
    assert run_training(request_of, TrainingPlace()) == 0
    assert not is_output(request_of.out)  # of labels


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_folder_that_cannot_be_one_is_a_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot use the --out folder .*file"):
        run_training(StageRequest(stage="labels", out=tmp_path / name), TrainingPlace())


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "x.bin"), SafetensorError("I/O error")]
)
def test_disk_that_refuses_ends_a_training_with_a_sentence(monkeypatch, request_of, error):
    def fail(request):
        raise error

    monkeypatch.setattr(training_run, "run_stage", fail)
    with pytest.raises(TrainingError, match=r"what is saved there is whole: .* command goes on"):
        run_training(request_of, TrainingPlace())
