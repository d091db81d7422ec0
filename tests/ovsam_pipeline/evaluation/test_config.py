import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.evaluation.config import EvalConfig, load_eval_config

TABLES = ("1", "1-points", *(str(number) for number in range(2, 11)))


@pytest.mark.parametrize("table", TABLES)
def test_preset_names_its_table_and_the_command_line_wins(table):
    config = load_eval_config(f"paper-table-{table}", {"dataset": None})
    assert (config.table, config.dataset) == (table, "coco")
    given = load_eval_config(f"paper-table-{table}", {"dataset": "scenes", "vocabulary": "nano"})
    assert (given.dataset, given.vocabulary) == ("scenes", "nano")


def test_presets_follow_the_paper():
    found = {table: load_eval_config(f"paper-table-{table}", {}) for table in TABLES}
    assert found["1-points"].prompts == "gt-point"
    assert {found[t].prompts for t in ("1", "4", "5", "6", "7", "9", "10")} == {"gt-box"}
    assert {found[t].prompts for t in ("2", "3", "8")} == {"detector"}
    assert [(found[t].labels, found[t].scores) for t in ("2", "3", "8")] == [
        ("model", "product"),
        ("detector", "detector"),
        ("detector", "detector"),
    ]
    assert (found["10"].vocabulary, found["10"].split) == ("lvis+imagenet21k", "none")


def test_preset_of_labelling_is_refused():
    with pytest.raises(ConfigError, match="run `ovsam label --config label-default`"):
        load_eval_config("label-default", {"dataset": "coco"})


def test_unknown_preset_lists_those_of_evaluation():
    with pytest.raises(ConfigError, match=r"packaged ones: paper-table-1, .*paper-table-9$"):
        load_eval_config("paper-table-99", {"dataset": "coco"})


def test_own_file_takes_flags_as_keys_and_is_strict(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("dataset: lvis\narea-rule: mask\nmax_det: 50\n")
    config = load_eval_config(str(path), {"max_det": 60, "conf": None})
    assert (config.dataset, config.area_rule, config.max_det, config.conf) == (
        "lvis",
        "mask",
        60,
        0.001,
    )
    path.write_text("arearule: mask\n")
    with pytest.raises(ConfigError, match=r"unknown key 'arearule' in .*did you mean 'area-rule'"):
        load_eval_config(str(path), {"dataset": "coco"})


@pytest.mark.parametrize("name", ["conf", "iou", "model", "prompts", "vocabulary", "dtype"])
def test_what_predictions_leave_without_effect_is_refused(name):
    values = {"conf": 0.9, "iou": 0.5, "model": "x", "vocabulary": "lvis", "dtype": "bf16"}
    given = {"dataset": "coco", name: values.get(name, "detector")}
    assert load_eval_config(None, given)
    with pytest.raises(ConfigError, match=f"--{name} decides how labels are made, and those of"):
        load_eval_config(None, {**given, "predictions": "x.json"})
    assert load_eval_config("paper-table-2", {"predictions": "x.json", "max_det": 1000})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": ""}, "expected --dataset: coco, lvis, scenes"),
        ({"prompts": "points"}, "expected --prompts as one of gt-box, gt-point, detector"),
        ({"table": "11"}, "expected --table as one of 1, 1-points"),
        ({"table": 1}, "expected --table as text"),
        ({"tolerance": 2.0}, "expected --tolerance from 0 to 1"),
        ({"resamples": 0}, "expected --resamples of at least 1"),
        ({"limit": 0}, "expected --limit of at least 1"),
        ({"plots": "no"}, "expected --plots as true or false"),
        ({"engine": "ray"}, "expected --ap-engine as one of fast, faster-coco-eval, reference"),
        ({"num_actors": 0}, "expected --num-actors of at least 1, got 0"),
        ({"detector": "nano"}, "only with --prompts detector"),
        ({"prompts": "detector", "detector": "gt:x.json"}, "instead of --detector gt:x.json"),
        ({"released_points": True}, "--released-points is .*for --prompts gt-point"),
        ({"table": "3", "class_agnostic": True}, "leave --class-agnostic out"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_flag(values, message):
    with pytest.raises(ConfigError, match=message):
        EvalConfig(**{"dataset": "coco", **values})


def test_protocol_leaves_out_how_older_predictions_were_made():
    own, older = EvalConfig(dataset="coco"), EvalConfig(dataset="coco", predictions="labels")
    left_out = own.describe_protocol().keys() - older.describe_protocol().keys()
    assert {"prompts", "model", "detector", "conf"} <= left_out
    assert older.describe_protocol()["scores"] == "stored"


@pytest.mark.parametrize("key", ["engine", "ap-engine"])
def test_both_names_of_the_engine_are_keys(tmp_path, key):
    (tmp_path / "mine.yaml").write_text(f"dataset: lvis\n{key}: reference\n")
    assert load_eval_config(str(tmp_path / "mine.yaml"), {}).engine == "reference"
