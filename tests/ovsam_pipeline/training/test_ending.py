"""The last lines of `ovsam train`."""

import pytest
import typer.main

from ovsam_pipeline.commands.contents import app
from ovsam_pipeline.commands.train import Stage
from ovsam_pipeline.settings.config_file import find_training_config
from ovsam_pipeline.training.ending import _NEXT, describe_end
from ovsam_pipeline.training.request import StageRequest


def test_labels_end_with_the_model_its_classes_and_how_to_label(tmp_path):
    out = tmp_path / "my run"
    out.mkdir()
    for name in ("model.safetensors", "vocabulary.safetensors"):
        (out / name).touch()
    assert describe_end(StageRequest(stage="labels", out=out)) == [
        f"model: {out}/model.safetensors",
        f"classes: {out}/vocabulary.safetensors",
        f"next: ovsam label IMAGES --model '{out}' -o labels",
    ]


def test_a_merged_file_is_the_model(tmp_path):
    file = tmp_path / "nano.safetensors"
    file.touch()
    first, last = describe_end(StageRequest(stage="merge", out=file))
    assert first == f"model: {file}"
    assert last == f"next: ovsam label IMAGES --model {file} -o labels"


def test_a_stage_without_a_model_names_its_folder(tmp_path):
    assert describe_end(StageRequest(stage="overfit", out=tmp_path)) == [f"results: {tmp_path}"]


@pytest.mark.parametrize("stage", sorted(_NEXT))
def test_the_next_command_can_be_typed(stage, tmp_path):
    assert stage in list(Stage)
    command, *words = describe_end(StageRequest(stage=stage, out=tmp_path))[-1].split()[2:]
    parser = typer.main.get_command(app).commands[command]
    given = parser.make_context(command, words).params
    if command == "train":
        assert find_training_config(given["config"]).is_file()
