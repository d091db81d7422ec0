"""What is foreseen of a run is what the loaded networks say; and it needs no torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_detector import build_small_detic
from tiny_sam import put_tiny_sam
from torchvision.models import get_model, get_model_weights

import ovsam
from ovsam.errors import (
    CheckpointError,
    ConfigError,
    MissingDependencyError,
    OvsamError,
    VocabularyError,
)
from ovsam.model_facts import describe_model, read_model_facts
from ovsam.text.text_tower import build_text_tower
from ovsam.text.vocabulary_files import load_vocabulary, save_vocabulary
from ovsam_pipeline.detectors import random_weights
from ovsam_pipeline.detectors.build import build_detector, identify_detector
from ovsam_pipeline.detectors.identity import _find_recipe
from ovsam_pipeline.detectors.official import detector as official
from ovsam_pipeline.detectors.official.weights import find_known_detector
from ovsam_pipeline.detectors.torchvision_files import TORCHVISION_NAMES, locate_weights
from ovsam_pipeline.labelling.build import build_box_finder, build_labeller
from ovsam_pipeline.labelling.labeller import RunFacts, find_outlook
from ovsam_pipeline.labelling.resolve import resolve
from ovsam_pipeline.settings.label import LabelConfig

TRUTH = {
    "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 64}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 9, "bbox": [4, 4, 30, 20]}],
    "categories": [{"id": 9, "name": "apple"}],
}
PYTHON_FILE = """
class Mine:
    name, fingerprint, class_names, device = "mine", "1" * 32, ("apple", "dog"), "cpu"
    def detect(self, images): return []
def build_detector(settings): return Mine()
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    (tmp_path / "mine.py").write_text(PYTHON_FILE)
    (tmp_path / "words.txt").write_text("dog\napple\n")


def configure(**settings) -> LabelConfig:
    return LabelConfig(**{"sources": ("x",), "model": "nano", "detector": "nano", **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": "photo", "detector": "auto"},
        {"model": "auto", "detector": "photo", "vocabulary": "coco", "labels": "detector"},
        {"detector": "gt:truth.json", "labels": "fused", "conf": 0.5},
        {"detector": "gt:truth.json#points", "protocol": "evaluate", "vocabulary": "nano"},
        {"detector": "boxes:truth.json", "classes": ("apple",), "iou": 0.3},
        {"detector": "python:mine.py", "labels": "detector", "vocabulary": "words.txt"},
        {"dtype": "bf16", "max_det": 7, "min_score": 0.3},
    ],
    ids=str,
)
def test_foreseen_facts_are_those_of_the_loaded_labeller(settings):
    config = configure(**settings)
    outlook = find_outlook(config, build_labeller)
    loaded = build_labeller(config).facts
    assert outlook.facts == loaded
    assert outlook.facts.fingerprint == loaded.fingerprint


def test_detector_that_is_ready_is_not_built_again():
    outlook = find_outlook(configure(detector="python:mine.py"), build_labeller)
    labeller = outlook.build(outlook.facts.config, None)
    assert labeller.detector is outlook.detector
    assert labeller.facts == outlook.facts


def test_settings_that_are_off_leave_the_fingerprint_as_it_was():
    plain, strict = (
        find_outlook(configure(**settings), build_labeller).facts
        for settings in ({}, {"min_score": 0.3})
    )
    assert "min_score" not in plain.depends_on
    assert strict.depends_on["min_score"] == 0.3
    assert plain.fingerprint != strict.fingerprint


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "model nano, detector nano, vocabulary nano (260 classes)"),
        ({"model": "photo", "detector": "auto"}, "model photo, detector photo, vocabulary ev"),
        ({"detector": "boxes:truth.json", "vocabulary": "dog,apple"}, "detector boxes:truth.json"),
    ],
)
def test_run_says_what_labels_in_one_line(settings, expected):
    facts = find_outlook(configure(**settings), build_labeller).facts
    assert expected in facts.describe()
    assert facts.is_demonstration == (facts.config.model == "nano")


def test_made_up_text_tower_is_foreseen(monkeypatch):
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:3")
    config = configure(vocabulary="walrus,teapot stand")
    assert find_outlook(config, build_labeller).facts == build_labeller(config).facts


def test_folder_of_a_training_is_a_model_with_its_own_classes(tmp_path):
    folder = tmp_path / "trained"
    model = ovsam.build_model("nano")
    model.attach_namer(build_text_tower(model.config.clip))
    ovsam.save_checkpoint(model, folder / "model.safetensors")
    words = ovsam.Vocabulary(["bolt", "nut"]).with_own_embeddings(
        torch.eye(2, model.config.clip.embed_dim)
    )
    save_vocabulary(words, folder / "vocabulary.safetensors")
    for given in ("trained", "trained/model.safetensors"):
        config = configure(model=given)
        facts = find_outlook(config, build_labeller).facts
        assert facts == build_labeller(config).facts
        assert facts.config.model == "trained/model.safetensors"
        assert [item["name"] for item in facts.categories] == ["bolt", "nut"]
    named = find_outlook(configure(model="trained", vocabulary="nano"), build_labeller)
    assert named.facts.provenance["vocabulary"]["name"] == "nano"
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"got trained without model\.safetensors"):
        find_outlook(configure(model="trained"), build_labeller)


@pytest.mark.parametrize("detector", ["nano", "photo", "python:mine.py", "boxes:truth.json"])
def test_foreseen_facts_of_boxes_are_those_of_the_loaded_detector(detector):
    config = configure(detector=detector)
    assert find_outlook(config, build_box_finder).facts == build_box_finder(config).facts


@pytest.mark.parametrize(
    "name",
    ["detic", "detic#proposals", "detic-r50#refined", "vitdet-b", "vitdet-l-lvis", "faster-rcnn"],
)
@pytest.mark.parametrize("is_random", [True, False])
def test_official_detectors_are_identified_by_their_files(name, is_random, tmp_path, monkeypatch):
    embed = random_weights.make_tensor
    monkeypatch.setattr(
        official, "_embed", lambda words, *_: embed("text", (len(words.names), 512), 0)
    )
    monkeypatch.setattr(official, "_build_network", lambda known: build_small_detic())
    if is_random:
        monkeypatch.setenv("OVSAM_WEIGHTS", "random:0")
    else:
        family, sign, mode = name.partition("#")
        torch.save({"model": build_small_detic().state_dict()}, tmp_path / "a.pth")
        name = f"{family}:a.pth{sign}{mode}"
        monkeypatch.setattr(
            "ovsam_pipeline.detectors.identity.require_clip_text", lambda _: tmp_path / "a.pth"
        )
    known, loaded = identify_detector(name, conf=0.3), build_detector(name, conf=0.3)
    for attribute in ("name", "fingerprint", "class_names", "licence"):
        assert getattr(known, attribute) == getattr(loaded, attribute)


@pytest.mark.parametrize("name", ["detic", "detic-r50", "vitdet-b", "vitdet-l-lvis", "faster-rcnn"])
def test_recipe_that_is_hashed_is_that_of_the_network(name):
    known = find_known_detector(name)
    with torch.device("meta"):
        assert official._build_network(known).recipe == _find_recipe(known)


def test_torchvisions_files_and_classes_are_as_torchvision_has_them():
    for name in TORCHVISION_NAMES:
        weights = get_model_weights(name)["COCO_V1"]
        assert locate_weights(name).name == weights.url.rpartition("/")[2]
        names = [x for x in weights.meta["categories"] if x not in ("__background__", "N/A")]
        assert tuple(names) == load_vocabulary("coco").names
        assert locate_weights(name).parent == Path(torch.hub.get_dir()) / "checkpoints"


def test_model_of_torchvision_is_identified_once_it_is_downloaded():
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    assert identify_detector(f"torchvision:{name}") is None
    network = get_model(name, weights=None, weights_backbone=None, num_classes=91)
    path = locate_weights(name)
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    known, loaded = identify_detector(f"torchvision:{name}"), build_detector(f"torchvision:{name}")
    for attribute in ("name", "fingerprint", "class_names", "licence"):
        assert getattr(known, attribute) == getattr(loaded, attribute)


def test_official_file_is_known_once_it_was_loaded_until_it_changes(tmp_path, monkeypatch):
    weights = put_tiny_sam(tmp_path / "cache", monkeypatch)
    assert read_model_facts("sam-b") is None
    model = ovsam.load_model("sam-b")
    assert read_model_facts("sam-b") == describe_model(model)
    assert read_model_facts(weights).is_sam
    weights.write_bytes(weights.read_bytes() + b"0")
    assert read_model_facts("sam-b") is None


@pytest.mark.parametrize("with_text", [True, False])
def test_own_file_states_its_facts(with_text, tmp_path):
    model = ovsam.build_model("nano")
    model.attach_namer(build_text_tower(model.config.clip))
    ovsam.save_checkpoint(model, tmp_path / "own.safetensors", with_text=with_text)
    found = read_model_facts(tmp_path / "own.safetensors")
    assert found == describe_model(ovsam.load_model(tmp_path / "own.safetensors"))
    assert found.namer == ("nano" if with_text else "")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"detector": "boxes:gone.json"}, OvsamError, "gone.json, which does not exist"),
        ({"detector": "gt:gone.json"}, OvsamError, "gone.json, which does not exist"),
        ({"detector": "python:gone.py"}, ConfigError, "does not exist"),
        ({"detector": "detic"}, OvsamError, "ovsam models fetch detic"),
        ({"detector": "yolo"}, ConfigError, "unknown detector 'yolo'"),
        ({"model": "rn50x16-lvis"}, OvsamError, "ovsam models fetch rn50x16-lvis"),
        ({"model": "rn50x17"}, ConfigError, "unknown weights"),
        ({"model": "clip-rn50x16"}, CheckpointError, "a part of a model"),
        ({"model": "sam-b", "labels": "model"}, ConfigError, "sam-b is a SAM"),
        ({"vocabulary": "dog,zebra crossing"}, VocabularyError, "knows only its own"),
        ({"vocabulary": "coca"}, VocabularyError, "did you mean 'coco'"),
        ({"vocabulary": "nano", "classes": ("giraffes",)}, VocabularyError, "unknown class"),
        ({"model": "photo", "vocabulary": "flux capacitor,dog"}, VocabularyError, "flux capacitor"),
        ({"device": "gpu"}, ConfigError, "expected --device as auto, cpu or cuda:0, got 'gpu'"),
        ({"labels": "fused"}, ConfigError, "needs a detector that names its boxes"),
        (
            {"detector": "gt:truth.json", "class_map": "gone.yaml"},
            OvsamError,
            "cannot read the class map gone.yaml",
        ),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_before_loading(changes, error, message):
    with pytest.raises(error, match=message):
        find_outlook(configure(**changes), build_labeller)


def test_foreseeing_needs_no_torch(tmp_path):
    code = """
import sys
from ovsam_pipeline.labelling.build import build_labeller, build_box_finder
from ovsam_pipeline.labelling.labeller import find_outlook
from ovsam_pipeline.settings.label import LabelConfig
for model in ("nano", "photo"):
    for detector in ("auto", "nano", "photo", "gt:truth.json", "boxes:truth.json"):
        config = LabelConfig(sources=("x",), model=model, detector=detector, device="cpu")
        assert find_outlook(config, build_labeller) and find_outlook(config, build_box_finder)
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert result.stdout == "False\n"


def test_missing_package_is_named_before_loading(monkeypatch):
    monkeypatch.setattr("ovsam_pipeline.detectors.build.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="hf:MODEL needs the package transformers"):
        find_outlook(configure(detector="hf:a/b"), build_labeller)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_gpu_is_refused_without_torch_where_no_driver_is(device, monkeypatch):
    monkeypatch.setattr("ovsam_pipeline.labelling.resolve.may_have_gpu", lambda: False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=f"--device {device} asks for a GPU, and torch f"):
        resolve(configure(device=device))
    assert resolve(configure(device="auto")).device == "cpu"


def test_one_class_is_told_in_the_singular():
    words = {"name": "custom", "classes": 1}
    facts = RunFacts(LabelConfig(sources=("images",)), {}, {"vocabulary": words})
    assert facts.describe() == "vocabulary custom (1 class)"
