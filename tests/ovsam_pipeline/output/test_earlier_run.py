import json
from pathlib import Path

import pytest

from ovsam.errors import ConfigError, OvsamError
from ovsam_pipeline.output.earlier_run import (
    complete_retry,
    find_source,
    has_foreign_address,
    join_file,
    join_vocabulary,
)
from ovsam_pipeline.output.place import parse_output
from ovsam_pipeline.runs.settings import load_label_config
from ovsam_pipeline.settings.label import LabelConfig


@pytest.fixture
def output(tmp_path):
    """An output of a run that was started in tmp_path/work with relative names."""
    work = tmp_path / "work"
    for folder in ("images", "found", "root"):
        (work / folder).mkdir(parents=True)
    for name in ("names.txt", "map.yaml", "best.safetensors"):
        (work / name).touch()
    settings = LabelConfig(
        sources=("images", "more/*.png", "~/shots/*"),
        output="out",
        image_root="root",
        detector="boxes:found",
        vocabulary="names.txt",
        classes=("cat", "dog"),
        class_map="map.yaml",
        conf=0.5,
        max_failures=3,
        time_limit=60.0,
        metrics_file="a.prom",
        preview=4,
        retry_failed=True,
    ).to_dict()
    write_run(work / "out", work, settings)
    return work / "out"


def write_run(output, work, settings, **resolved):
    output.mkdir(exist_ok=True)
    (output / ".lock").touch()
    chosen = {**settings, "model": "best.safetensors", "dtype": "fp32", **resolved}
    run = {"ovsam": "1", "settings": settings, "resolved": chosen, "working_folder": str(work)}
    (output / "run.json").write_text(json.dumps(run))


def retry(folder, **given):
    return complete_retry({"sources": (str(folder),), "retry_failed": True, **given})


def test_sources_and_files_are_those_of_the_folder_where_the_run_began(output):
    found, work = retry(output), output.parent
    assert found["sources"] == (
        str(work / "images"),
        str(work / "more" / "*.png"),
        "~/shots/*",
    )
    assert (found["image_root"], found["output"]) == (str(work / "root"), str(output))
    assert found["detector"] == f"boxes:{work / 'found'}"
    assert found["vocabulary"] == str(work / "names.txt")
    assert found["class_map"] == str(work / "map.yaml")
    assert found["only_failed"] is True


def test_what_auto_chose_is_kept_and_limits_are_not(output):
    found = retry(output)
    assert (found["model"], found["dtype"]) == (str(output.parent / "best.safetensors"), "fp32")
    assert (found["classes"], found["conf"]) == (("cat", "dog"), 0.5)
    assert not {"max_failures", "time_limit", "metrics_file", "preview"} & set(found)
    assert LabelConfig(**found).retry_failed


def test_what_is_given_wins(output):
    found = retry(output, conf=0.3, batch=2, max_failures=0)
    assert (found["conf"], found["batch"], found["max_failures"]) == (0.3, 2, 0)


@pytest.mark.parametrize("detector", ["detic", "vitdet-b-lvis", "gt:found#points"])
def test_detectors_that_are_names_stay_and_files_are_joined(output, detector):
    run = json.loads((output / "run.json").read_text())
    write_run(output, output.parent, run["settings"], detector=detector)
    expected = detector.replace("found", str(output.parent / "found"))
    assert retry(output)["detector"] == expected


def test_names_of_vocabularies_are_no_files(tmp_path):
    (tmp_path / "lvis").mkdir()
    assert join_file(tmp_path, "lvis") == "lvis"


def test_files_of_examples_are_joined_and_names_before_them_stay(tmp_path):
    joined = join_vocabulary(tmp_path, "coco+examples:refs.json+examples:/more")
    assert joined == f"coco+examples:{tmp_path}/refs.json+examples:/more"
    (tmp_path / "pets.txt").touch()
    assert join_vocabulary(tmp_path, "pets.txt") == str(tmp_path / "pets.txt")
    assert join_vocabulary(tmp_path, "examples:refs") == f"examples:{tmp_path}/refs"


def test_sources_that_are_no_output_are_left_as_they_are(tmp_path):
    given = {"sources": (str(tmp_path),), "retry_failed": True, "output": "out"}
    assert complete_retry(given) == given
    assert complete_retry({"sources": ("a", "b")}) == {"sources": ("a", "b")}


def test_command_line_and_config_file_lead_here(output, tmp_path):
    (tmp_path / "run.yaml").write_text("retry-failed: true\nconf: 0.4\n")
    config = load_label_config(str(tmp_path / "run.yaml"), {"sources": (str(output),)})
    assert (config.conf, config.only_failed, config.output) == (0.4, True, str(output))


def test_only_failed_is_no_key_of_a_config_file(tmp_path):
    (tmp_path / "run.yaml").write_text("only-failed: true\n")
    with pytest.raises(ConfigError, match="unknown key 'only-failed'"):
        load_label_config(str(tmp_path / "run.yaml"), {"sources": ("a",)})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"output": "other"}, "but -o other is another one; drop -o"),
        ({"prune": True}, "drop --prune, or give the sources: ovsam label SOURCES -o"),
        ({"relabel": "old"}, "drop --relabel"),
        ({"on_existing": "error"}, "drop --on-existing"),
    ],
)
def test_contradictions_are_refused(output, given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        retry(output, **given)


def test_the_same_output_and_resume_are_no_contradiction(output):
    found = retry(output, output=str(output), on_existing="resume")
    assert found["output"] == str(output)


def test_run_file_without_settings_is_refused_with_the_way_out(output):
    (output / "run.json").write_text('{"ovsam": "1"}')
    with pytest.raises(ConfigError, match=r"give them: ovsam label SOURCES -o .* --retry-failed"):
        retry(output)


def test_source_that_is_gone_is_named_with_the_way_out(tmp_path):
    sentence = "source '.*gone' recorded in old.run.json does not exist; .*: ovsam label S --of old"
    with pytest.raises(ConfigError, match=sentence):
        find_source("gone", tmp_path, Path("old"), "ovsam label S --of {old}")


def change_run(output, **changes):
    """Set values in run.json, in the settings and in what "auto" was resolved to."""
    run = json.loads((output / "run.json").read_text())
    for kind in ("settings", "resolved"):
        run[kind] |= changes
    (output / "run.json").write_text(json.dumps(run))


@pytest.mark.parametrize(
    ("recorded", "typed"),
    [
        ({"detector": "python:evil.py"}, "--detector python:evil.py"),
        ({"detector": "hf:owner/model"}, "--detector hf:owner/model"),
        ({"detector": "detectron2:my.py"}, "--detector detectron2:my.py"),
        ({"detector": "boxes:http://10.0.0.1/b.json"}, "--detector boxes:http://10.0.0.1/b.json"),
        ({"image_root": "https://10.0.0.1/x"}, "--image-root https://10.0.0.1/x"),
        ({"engine": "ray"}, "--engine ray"),
        ({"address": "10.0.0.1:6379"}, "--address 10.0.0.1:6379"),
        ({"num_actors": 4}, "--num-actors 4"),
        ({"class_map": "s3://other/map.yaml"}, "--class-map s3://other/map.yaml"),
        ({"detector": "python:a b;c.py"}, "--detector 'python:a b;c.py'"),
    ],
)
def test_code_and_addresses_in_a_run_file_must_be_typed(output, recorded, typed):
    change_run(output, **recorded)
    with pytest.raises(ConfigError, match="data may not choose") as found:
        retry(output)
    assert str(found.value).endswith(f"ovsam label --retry-failed {output} {typed}")


def test_what_was_typed_is_taken_in_place_of_it(output):
    change_run(output, detector="python:evil.py", engine="ray", address="10.0.0.1:6379")
    found = retry(output, detector="python:mine.py", engine="local")
    assert (found["detector"], found["engine"]) == ("python:mine.py", "local")
    assert "address" not in found


def test_sources_at_addresses_are_asked_for_with_the_settings_of_the_run(output):
    change_run(output, sources=["http://10.0.0.1/a.png"], address="10.0.0.1:6379")
    with pytest.raises(ConfigError, match="sources at addresses") as found:
        retry(output)
    command = str(found.value).partition("type it: ")[2]
    assert command.startswith(f"ovsam label http://10.0.0.1/a.png -o {output} --retry-failed ")
    assert "--conf 0.5" in command
    assert "--classes cat,dog" in command
    assert "--address 10.0.0.1:6379" in command


@pytest.mark.parametrize(
    ("text", "output", "is_foreign"),
    [
        ("s3://bucket/photos", "s3://bucket/labels", False),
        ("s3://bucket2/photos", "s3://bucket/labels", True),
        ("s3://bucket/photos?endpoint_override=10.0.0.1", "s3://bucket/labels", True),
        ("boxes:s3://bucket/photos", "s3://bucket/labels", False),
        ("hf://datasets/a/b", "labels", True),
        ("photos/a:b", "labels", False),
    ],
)
def test_only_the_store_of_the_output_is_known(text, output, is_foreign):
    assert has_foreign_address([text], parse_output(output)) is is_foreign


@pytest.mark.parametrize(
    "changes", [{"conf": "high"}, {"sources": [1]}, {"part_images": -1}, {"classes": 5}]
)
def test_settings_that_cannot_be_ours_are_a_sentence(output, changes):
    change_run(output, **changes)
    with pytest.raises(OvsamError, match=r"run\.json"):
        retry(output)
