"""`ovsam train check` reads data as a training would, and says what is wrong with it."""

from pathlib import Path

import pytest
from locations import SCENES

from ovsam.errors import ConfigError
from ovsam_pipeline.training.request import DataLimits, StageRequest
from ovsam_pipeline.training.stages import run_stage


def check(**values) -> None:
    limits = DataLimits(**values.pop("limits", {}))
    run_stage(StageRequest(stage="check", out=Path(), limits=limits, **values))


def test_a_coco_folder_needs_no_config(capsys) -> None:
    check(data=SCENES / "annotations.json", images=SCENES, limits={"all_images": True})
    assert capsys.readouterr().out.startswith("24 images, 24 of them decoded, 204 training classes")


def test_a_wrong_vocabulary_is_refused_after_the_report_unless_allowed(capsys) -> None:
    data = {"data": SCENES / "annotations.json", "images": SCENES}
    with pytest.raises(ConfigError, match=r"data rejected: 96 of 112 objects have a category"):
        check(**data, limits={"vocabulary": "coco"})
    assert "bad: 96 of 112" in capsys.readouterr().out
    check(**data, limits={"vocabulary": "coco", "max_bad": 0.9})


def test_sets_of_the_config_are_checked(tmp_path, capsys) -> None:
    config = tmp_path / "mixed.yaml"
    rows = f"{{kind: boxes, path: {SCENES}/annotations.json, images: {SCENES}, ratio: 2}}"
    config.write_text(f"loop: {{steps: 1}}\nvocabulary: coco\ncheck_images: 3\ndata: [{rows}]\n")
    check(config=config)
    # COCO's 48 base classes, and all of the scenes' that COCO does not name.
    out = capsys.readouterr().out
    assert out.startswith("24 images, 3 of them decoded, 269 training")
    with pytest.raises(ConfigError, match="needs --data, or `data` in its config, got both"):
        check(config=config, data=SCENES / "annotations.json", images=SCENES)


def test_no_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs --data, or `data` in its config, got neither"):
        check()


def test_a_part_above_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected --max-bad from 0 to 1, got 5"):
        DataLimits(max_bad=5)


def test_a_wrong_value_in_a_list_of_sets_is_named_by_its_place(tmp_path) -> None:
    config = tmp_path / "mixed.yaml"
    config.write_text("loop: {steps: 1}\ndata: [{kind: pool, path: a, ratoi: 2}]\n")
    with pytest.raises(ConfigError, match=r"'ratoi' in .*data\[0\] \(did you mean 'ratio'"):
        check(config=config)
