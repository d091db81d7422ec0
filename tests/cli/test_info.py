import json
import shutil

import pytest

from ovsam.weights.hub import require


def test_info_of_a_model_shows_parts_and_the_paper(run_ovsam):
    result = run_ovsam("info", "rn50")
    assert result.code == 0
    rows = {line[:18].strip(): line[18:].split() for line in result.out.splitlines()}
    assert rows["all"][:2] == ["164.844", "727.4"]
    assert rows["paper"] == ["165", "728"]
    assert rows["difference"] == ["-0.09%", "-0.08%"]
    assert "of these, ovsam saves 21.1 GMACs" in result.out


def test_info_as_json_adds_up(run_ovsam):
    cost = json.loads(run_ovsam("info", "sam-h", "--json").out)
    assert cost["paper"] == {"parameters_m": 641.0, "gmacs": 3001.0}
    assert abs(cost["difference"]["gmacs"]) < 0.01
    assert cost["parameters"] == sum(part["parameters"] for part in cost["parts"])
    times = {"image": 1, "prompt": cost["prompts"]}
    assert cost["macs"] == sum(part["macs"] * times[part["per"]] for part in cost["parts"])


def test_info_of_other_settings_is_not_compared(run_ovsam):
    cost = json.loads(run_ovsam("info", "nano", "--prompts", 2, "--input-size", 640, "--json").out)
    assert (cost["prompts"], cost["input_size"], cost["paper"]) == (2, 640, None)


def test_info_takes_names_of_weights(run_ovsam):
    assert json.loads(run_ovsam("info", "clip-rn50", "--json").out)["model"] == "rn50"


def test_info_takes_the_folder_of_a_training(run_ovsam, tmp_path):
    shutil.copy(require("nano")[0], tmp_path / "model.safetensors")
    assert json.loads(run_ovsam("info", tmp_path, "--json").out)["model"] == "nano"


@pytest.mark.slow
def test_info_without_a_name_compares_all(run_ovsam):
    result = run_ovsam("info")
    names = [line.split()[0] for line in result.out.splitlines()[1:]]
    assert {"rn50x64", "convnext-xxl", "convnext-l-single-scale", "sam-h"} <= set(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rn51"], "unknown model 'rn51'"),
        (["nano", "--input-size", "100"], "input_size must be a positive multiple of 32"),
    ],
)
def test_info_refuses_with_a_sentence(run_ovsam, arguments, message):
    result = run_ovsam("info", *arguments)
    assert result.code == 2
    assert message in result.err


def test_info_of_a_missing_file_is_one_sentence(run_ovsam, tmp_path):
    result = run_ovsam("info", tmp_path / "gone.safetensors")
    assert result.code == 1
    assert "gone.safetensors" in result.err
    assert "Traceback" not in result.err
