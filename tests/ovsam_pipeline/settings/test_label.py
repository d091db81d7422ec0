import pytest
from locations import CONFIGS

from ovsam.errors import ConfigError
from ovsam_pipeline.runs.settings import load_label_config
from ovsam_pipeline.settings.config_file import find_config_file
from ovsam_pipeline.settings.label import LabelConfig

RUNS = sorted((CONFIGS / "runs").glob("label-*.yaml"))


def write(tmp_path, text: str) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return str(path)


def test_command_line_overrides_the_file(tmp_path):
    path = write(tmp_path, "sources: [photos]\nconf: 0.4\nmax-det: 50\nclasses: cat, dog\n")
    config = load_label_config(path, {"conf": 0.6, "max_det": None})
    assert (config.sources, config.conf, config.max_det) == (("photos",), 0.6, 50)
    assert config.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "confidence: 0.4",
            r"unknown key 'confidence' in .* \(did you mean 'confidence-threshold'",
        ),
        ("max_dets: 4", "did you mean 'max-det'"),
        ("zzz: 4", "known keys: .*conf"),
        ("conf: 0.4\nconf: 0.5", "line 2: duplicate key 'conf'; keep one"),
        ("max_det: 4\nmax-det: 5", "duplicate key 'max-det' in .*; keep one"),
        ("conf: '0.4'", "expected --conf as a number, got '0.4'"),
        ("retry_failed: maybe", "expected --retry-failed as true or false, got 'maybe'"),
        ("max_det: true", "expected --max-det as a whole number, got True"),
        ("model: 5", "expected --model as text, got 5"),
        ("- conf", "expected .* to hold 'flag: value' lines"),
        ("conf: [", "cannot read the config file"),
        ("conf: !!python/object:os.system {}", "cannot read the config file"),
    ],
)
def test_config_file_is_strict(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_label_config(write(tmp_path, text), {"sources": ("x",)})


def test_protocol_is_no_key_of_a_file(tmp_path):
    with pytest.raises(ConfigError, match="unknown key 'protocol'"):
        load_label_config(write(tmp_path, "protocol: evaluate"), {"sources": ("x",)})


def test_preset_of_an_evaluation_is_refused():
    with pytest.raises(ConfigError, match="ovsam eval --protocol paper-table-1"):
        load_label_config("paper-table-1", {"sources": ("x",)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": ()}, "at least one source"),
        ({"conf": 1.5}, "expected --conf from 0 to 1, got 1.5"),
        ({"iou": -0.1}, "expected --iou from 0 to 1"),
        ({"conf": float("nan")}, "expected --conf from 0 to 1"),
        ({"max_failure_rate": 2}, "expected --max-failure-rate from 0 to 1"),
        ({"max_det": 0}, "expected --max-det of at least 1, got 0"),
        ({"batch": 0}, "expected --batch of at least 1"),
        ({"preview": -1}, "expected --preview of at least 0"),
        ({"part_seconds": 0}, "expected --part-seconds above 0"),
        (
            {"labels": "both"},
            "expected --labels as one of auto, model, detector, fused, got 'both'",
        ),
        ({"dtype": "int8"}, "expected --dtype as one of auto, fp32, bf16, fp16"),
        ({"on_existing": "skip"}, "expected --on-existing as one of resume, overwrite, error"),
        ({"engine": "local", "address": "auto"}, "--address needs a Ray cluster, but --engine lo"),
        ({"engine": "local", "num_gpus": 2}, "--num-gpus needs a Ray cluster"),
        ({"num_actors": 0}, "expected --num-actors of at least 1, got 0"),
        ({"gpus_per_actor": -0.5}, "expected --gpus-per-actor of at least 0, got -0.5"),
        ({"image_timeout": 0.0}, "expected --image-timeout above 0, got 0"),
        ({"time_limit": float("inf")}, "expected --time-limit above 0, got inf"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(values, message):
    with pytest.raises(ConfigError, match=message):
        LabelConfig(**{"sources": ("x",), **values})


def test_packaged_config_is_found_by_name_and_unknown_one_lists_them():
    assert find_config_file(RUNS[0].stem) == RUNS[0]
    with pytest.raises(ConfigError, match="no config file 'nope'; packaged ones: label-"):
        find_config_file("nope")


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_packaged_configs_load(path):
    assert load_label_config(str(path), {"sources": ("x",)}).sources


def test_to_dict_builds_an_equal_config():
    config = LabelConfig(sources=("a", "b"), classes=("cat",))
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.to_dict().items()}
    assert LabelConfig(**values) == config


def test_one_source_in_a_config_file_may_have_a_comma_in_its_name(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("sources: 'berlin, 2024'\nclasses: cat, dog\n")
    config = load_label_config(str(path), {})
    assert (config.sources, config.classes) == (("berlin, 2024",), ("cat", "dog"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5", 1.5), ("30m", 1800), ("6h", 21600), ("1h30m5s", 5405)],
)
def test_time_limit_is_read_in_the_units_people_write(text, seconds):
    given = {"sources": ("images",), "time_limit": text}
    assert load_label_config(None, given).time_limit == seconds


@pytest.mark.parametrize("text", ["", "soon", "6 hours", "-5", "1d", "h"])
def test_time_limit_in_other_words_is_refused(text):
    with pytest.raises(ConfigError, match="expected --time-limit as 6h, 90m, 1h30m or seconds"):
        load_label_config(None, {"sources": ("images",), "time_limit": text})
