import json

import pytest
from fake_labeller import write_images
from file_server import run_file_server
from locations import SCENES
from small_detector import build_small_detic

from ovsam.weights.known_weights import CC_BY_SA, WeightFile
from ovsam_pipeline.detectors.official import (
    detector as official,
)
from ovsam_pipeline.detectors.official import (
    text_prompts,
)
from ovsam_pipeline.detectors.official import (
    weights as official_weights,
)
from ovsam_pipeline.detectors.official.weights import OFFICIAL_DETECTORS
from ovsam_pipeline.output.folder import iterate_rows

NAMES = ("mug", "red backpack", "sparrow")


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "detectron2"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_table_fits_80_columns_and_names_every_detector(run_command):
    result = run_command("detectors")
    assert result.code == 0
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert {detector.name for detector in OFFICIAL_DETECTORS} <= rows.keys()
    expected = ["3,567", "58.7", "CC", "BY-SA", "3.0", "2.8", "GB"]
    assert rows["vitdet-h"].split()[-7:] == expected
    assert "44.4*" in rows["detic"]
    assert rows["nano"].split()[-1] == "here"
    assert "torchvision downloads its own at first use" in " ".join(lines)


def test_json_has_the_source_of_each_number_and_what_is_here(run_command, tmp_path):
    known = official_weights.find_known_detector("faster-rcnn")
    path = tmp_path / "cache/weights" / known.weights.names[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    rows = {
        row["name"]: row for row in json.loads(run_command("detectors", "--json").out)["detectors"]
    }
    assert rows["faster-rcnn"]["is_here"] is True
    assert rows["vitdet-b"]["is_here"] is False
    assert rows["vitdet-b-lvis"]["box_ap"] == 43.0
    assert rows["vitdet-b-lvis"]["box_ap_on"] == "LVIS v1 val"
    assert all(row["source"] for row in rows.values())
    assert rows["detic-lbase"]["box_ap"] is None


@pytest.fixture
def served(monkeypatch):
    """Faster R-CNN's file on a local server."""
    with run_file_server() as server:
        server.serve("/model.pkl", b"weights" * 1000)
        file = WeightFile(("model.pkl",), CC_BY_SA, 7000, url=f"{server.url}/model.pkl")
        monkeypatch.setattr(
            "ovsam_pipeline.detectors.official.weights.find_fetchable", lambda _: (file,)
        )
        monkeypatch.setattr("time.sleep", lambda _: None)
        yield server


def test_fetch_of_a_detector_asks_for_its_terms_then_records_the_sha256(
    run_command, served, tmp_path
):
    refused = run_command("models", "fetch", "faster-rcnn")
    assert refused.code == 1
    assert "CC BY-SA 3.0" in refused.err
    assert "--accept-license" in refused.err
    assert served.requests == []
    fetched = run_command("models", "fetch", "faster-rcnn", "--accept-license")
    assert fetched.code == 0
    assert "--detector faster-rcnn" in fetched.err
    path = tmp_path / "cache/weights/model.pkl"
    assert str(path) in fetched.out
    record = json.loads((tmp_path / "cache/checksums.json").read_text())
    assert record[f"{served.url}/model.pkl"]["sha256"] == served.files["/model.pkl"].sha256
    again = json.loads(run_command("models", "fetch", "faster-rcnn", "--json").out)
    assert again["paths"] == [str(path)]


def test_cut_download_leaves_no_file_to_load_and_continues(run_command, served, tmp_path):
    served.files["/model.pkl"].cut_after = [500, 0, 0, 0, 0]
    result = run_command("models", "fetch", "faster-rcnn", "--accept-license")
    assert result.code == 1
    assert "it continues from there" in result.err
    assert not (tmp_path / "cache/weights/model.pkl").exists()
    assert run_command("models", "fetch", "faster-rcnn").code == 0
    assert served.ranges()[-1] == "bytes=500-"


def test_fetch_of_an_unknown_name_looks_at_detectors_too(run_command):
    result = run_command("models", "fetch", "vitdet-hh")
    assert result.code == 2
    assert "did you mean 'vitdet-h'" in result.err


def test_labelling_without_the_weights_is_one_sentence_with_the_command(run_command, tmp_path):
    write_images(tmp_path / "images", 1)
    result = run_command("label", tmp_path / "images", "--detector", "vitdet-h-lvis")
    assert result.code == 1
    assert "`ovsam models fetch vitdet-h-lvis`" in result.err
    assert "Traceback" not in result.err


def label_scenes(run_command, out, *arguments):
    scenes = [SCENES / f"scene_000{index}.jpg" for index in (0, 2)]
    command = ("label", *scenes, "-o", out, "--vocabulary", ",".join(NAMES), *arguments)
    command += ("--model", "nano")
    result = run_command(*command)
    assert result.code == 0, result.err
    objects = [item for row in iterate_rows(out) for item in row["objects"]]
    assert "made-up weights; its boxes and names are meaningless" in result.err
    assert {item["category"] for item in objects} <= set(NAMES)
    return objects


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:0")


@pytest.mark.parametrize("labels", ["model", "detector", "fused"])
def test_free_names_are_labelled_without_any_weight_file(
    run_command, made_up, monkeypatch, tmp_path, labels
):
    monkeypatch.setattr(official, "_build_network", lambda known: build_small_detic())
    monkeypatch.setattr(text_prompts, "_LAYERS", 1)
    monkeypatch.setattr("ovsam_pipeline.detectors.random_weights._warned", False)
    found = label_scenes(
        run_command, tmp_path / "out", "--detector", "detic", "--conf", "0.02", "--labels", labels
    )
    assert found
    assert all(item["detector_category"] in NAMES for item in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["detic", "vitdet", "faster-rcnn"])
def test_free_names_are_labelled_with_the_real_networks(
    run_command, made_up, monkeypatch, tmp_path, name
):
    monkeypatch.setattr("ovsam_pipeline.detectors.random_weights._warned", False)
    assert label_scenes(run_command, tmp_path / "out", "--detector", name)
