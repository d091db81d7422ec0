"""`ovsam train` and `ovsam scenes` from the command line."""

import json

import pytest

from ovsam.training.scenes.sprites import NOTO_FONT
from ovsam_pipeline.commands.scenes import plan_files

needs_font = pytest.mark.skipif(not NOTO_FONT.is_file(), reason="fonts-noto-color-emoji is missing")


def test_stage_without_config_is_a_usage_error(run_ovsam, tmp_path):
    ended = run_ovsam("train", "labels", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "needs --config FILE" in ended.err
    assert not (tmp_path / "run").exists()


def test_unknown_setting_is_a_usage_error(run_ovsam, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("contu: 3")
    ended = run_ovsam("train", "pool", "--config", config, "--out", tmp_path / "run")
    assert ended.code == 2
    assert "did you mean 'count'" in ended.err


def test_unknown_stage_is_a_usage_error(run_ovsam, tmp_path):
    assert run_ovsam("train", "everything", "--out", tmp_path).code == 2


def test_missing_font_is_a_usage_error_with_the_package_to_install(run_ovsam, tmp_path):
    ended = run_ovsam("scenes", tmp_path / "out", "--font", tmp_path / "none.ttf")
    assert ended.code == 2
    assert "apt-get install fonts-noto-color-emoji" in ended.err


@needs_font
def test_scenes_are_drawn_with_ground_truth(run_ovsam, tmp_path):
    ended = run_ovsam("scenes", tmp_path / "out", "--count", 2, "--size", 128, "--json")
    assert ended.code == 0
    found = json.loads(ended.out)
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert found["images"] == len(content["images"]) == 2
    assert len(content["categories"]) >= 250


def test_planned_files_mix_formats_shapes_and_one_rotation():
    planned = plan_files(24, 640)
    assert {file.name[-3:] for file in planned} == {"jpg", "png"}
    assert len({file.size_hw for file in planned}) > 6
    assert sum(file.is_rotated for file in planned) == 1
