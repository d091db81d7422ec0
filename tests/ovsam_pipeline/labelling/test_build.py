"""The real networks behind the pipeline: nano's structure, untrained, prompted from a file."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

import ovsam
import ovsam_pipeline
from ovsam.errors import CheckpointError, ConfigError, VocabularyError
from ovsam.model_facts import ModelFacts
from ovsam.preprocess import prepare_image
from ovsam.structures import Prompts
from ovsam.text.text_tower import build_text_tower
from ovsam_pipeline.labelling.build import build_labeller
from ovsam_pipeline.labelling.facts import choose_vocabulary
from ovsam_pipeline.labelling.rules import ALL_CLASSES, PAPER, RELEASED_POINTS
from ovsam_pipeline.output.folder import iterate_rows
from ovsam_pipeline.settings.label import LabelConfig

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    model = ovsam.build_model("nano")
    model.attach_namer(build_text_tower(model.config.clip))
    ovsam.save_checkpoint(model, path, {"licence": "Apache-2.0"})
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Three pictures with two objects each, and their COCO file."""
    folder = tmp_path_factory.mktemp("scenes")
    dice = np.random.default_rng(0)
    truth = {"images": [], "annotations": [], "categories": [{"id": 9, "name": "apple"}]}
    for index, (height, width) in enumerate([(90, 120), (200, 150), (64, 64)], start=1):
        name = f"{index}.png"
        picture = dice.integers(0, 255, (height, width, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / name), picture)
        truth["images"].append({"id": index, "file_name": name, "width": width, "height": height})
        for box in ([4, 4, 30, 20], [20, 30, 40, 25]):
            number = len(truth["annotations"]) + 1
            annotation = {"id": number, "image_id": index, "category_id": 9, "bbox": box}
            truth["annotations"].append({**annotation, "area": 600, "iscrowd": 0})
    (folder / "truth.json").write_text(json.dumps(truth))
    return folder


@pytest.fixture
def settings(weights, scenes):
    return {"model": str(weights), "detector": f"gt:{scenes / 'truth.json'}"}


def build(settings, **changes):
    return build_labeller(LabelConfig(**{"sources": ("x",), **settings, **changes}))


def test_label_with_the_real_networks_end_to_end(tmp_path, scenes, settings):
    result = ovsam_pipeline.label(scenes / "truth.json", output=tmp_path / "out", **settings)
    assert (result.exit_code, result.totals.images) == (0, 3)
    rows = list(iterate_rows(tmp_path / "out"))
    assert sorted(row["image_id"] for row in rows) == [1, 2, 3]
    names = set(ovsam.load_vocabulary("nano").names)
    for row in rows:
        for item in row["objects"]:
            assert item["category"] in names
            assert item["segmentation"]["size"] == [row["height"], row["width"]]
            assert 0 <= item["score"] <= 1
            assert item["detector_category"] == "apple"


def test_batches_and_overlap_do_not_change_rows(tmp_path, scenes, settings):
    first, second = tmp_path / "one", tmp_path / "three"
    ovsam_pipeline.label(scenes, output=first, **settings)
    ovsam_pipeline.label(scenes, output=second, batch=3, workers=1, **settings)
    expected, found = ({row["file_name"]: row for row in iterate_rows(p)} for p in (first, second))
    assert expected.keys() == found.keys()
    for name, row in expected.items():
        assert [item["area"] for item in found[name]["objects"]] == pytest.approx(
            [item["area"] for item in row["objects"]], rel=0.01, abs=2
        )


def test_run_file_names_model_licence_and_vocabulary(tmp_path, scenes, settings):
    ovsam_pipeline.label(scenes, output=tmp_path / "out", **settings)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["model"]["licence"] == "Apache-2.0"
    assert len(run["model"]["identity"]) == 64
    assert run["vocabulary"]["name"] == "nano"
    assert len(run["categories"]) == run["vocabulary"]["classes"]


def test_unlike_settings_have_unlike_fingerprints(settings):
    base = build(settings)
    assert build(settings).facts.fingerprint == base.facts.fingerprint
    assert build(settings, workers=3, part_images=5).facts.fingerprint == base.facts.fingerprint
    for changes in ({"dtype": "bf16"}, {"max_det": 5}, {"classes": ("cat",)}, {"iou": 0.4}):
        assert build(settings, **changes).facts.fingerprint != base.facts.fingerprint


def test_files_of_boxes_go_by_content_and_not_by_path(settings, scenes, tmp_path):
    again = tmp_path / "copy.json"
    again.write_bytes((scenes / "truth.json").read_bytes())
    first = build(settings, labels="detector", allow_unmatched=True)
    second = build(settings, labels="detector", allow_unmatched=True, detector=f"gt:{again}")
    assert first.facts.depends_on == second.facts.depends_on
    assert first.facts.depends_on["detector"] == "gt"
    assert second.facts.provenance["detector"]["name"] == f"gt:{again}"


def test_another_file_of_boxes_is_told_apart(settings, scenes, tmp_path):
    ovsam_pipeline.label(scenes, output=tmp_path / "out", **settings)
    other = tmp_path / "other.json"
    other.write_text((scenes / "truth.json").read_text() + "\n")
    changed = settings | {"detector": f"gt:{other}"}
    expected = r"other settings: detector \(gt:.*truth.json before, gt:.*other.json now\)"
    with pytest.raises(ConfigError, match=expected):
        ovsam_pipeline.label(scenes, output=tmp_path / "out", **changed)


def test_seed_of_a_made_up_text_tower_is_part_of_the_fingerprint(scenes, monkeypatch):
    given = {"model": "nano", "detector": f"gt:{scenes / 'truth.json'}"}
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:1")
    plain, first = build(given), build(given, vocabulary="walrus,teapot stand")
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:2")
    assert build(given).facts.fingerprint == plain.facts.fingerprint
    again = build(given, vocabulary="walrus,teapot stand")
    assert again.facts.fingerprint != first.facts.fingerprint


def test_protocols_of_evaluation_change_the_fingerprint_and_the_rules(settings):
    found = {
        name: build(settings, vocabulary="nano", protocol=name)
        for name in ("label", "evaluate", "evaluate-all-classes", "evaluate-released-points")
    }
    assert len({labeller.facts.fingerprint for labeller in found.values()}) == 4
    assert "protocol" not in found["label"].facts.depends_on
    rules = [item.mode.rules for item in found.values()]
    assert [each.keeps_empty_masks for each in rules] == [False, True, True, True]
    assert [each.evaluation for each in rules] == [None, PAPER, ALL_CLASSES, RELEASED_POINTS]


def test_evaluation_never_chooses_a_class_outside_the_split(settings, tmp_path):
    """A vocabulary with a split and a class in neither set: only the paper's protocol obeys it."""
    words = [{"name": "apple", "split": "base"}, {"name": "dog", "split": "novel"}, {"name": "cat"}]
    path = tmp_path / "words.json"
    path.write_text(json.dumps(words))
    for protocol, is_free in (("label", True), ("evaluate-all-classes", True), ("evaluate", False)):
        labeller = build(settings, vocabulary=str(path), protocol=protocol)
        image = prepare_image(np.zeros((64, 64, 3), np.uint8), labeller.mode.input_size)
        (encoded,) = labeller.mode.predictor.encode([image])
        prediction = labeller.mode.predictor.segment(encoded, Prompts([[4, 4, 40, 40]]))
        assert bool(prediction.fused_logits[0, 2] > -900) == is_free


def test_classes_filter_what_comes_out_and_keep_their_rivals(settings):
    labeller = build(settings, classes=("cat", "dog"))
    assert [item["name"] for item in labeller.facts.categories] == ["cat", "dog"]
    assert labeller.mode.rules.vocabulary.num_classes == ovsam.load_vocabulary("nano").num_classes


def test_unknown_class_in_a_named_vocabulary_is_refused(settings):
    with pytest.raises(VocabularyError, match="unknown class 'giraffes'"):
        build(settings, vocabulary="nano", classes=("giraffes",))


def test_word_that_nano_cannot_know_is_refused(settings):
    with pytest.raises(VocabularyError, match="knows only its own"):
        build(settings, classes=("transistor",))


def test_labels_of_the_detector_need_names_in_the_vocabulary(settings, scenes, tmp_path):
    labeller = build(settings, labels="detector")
    assert {
        labeller.mode.rules.vocabulary.names[i]
        for i in labeller.mode.rules.detector_labels.values()
    } == {"apple"}
    (tmp_path / "words.txt").write_text("dog\n")
    with pytest.raises(ConfigError, match=r"1 of the 1 classes of gt:.* are not in the vocabulary"):
        build(settings, labels="detector", vocabulary=str(tmp_path / "words.txt"))


def test_model_without_a_text_tower_leaves_the_names_to_the_detector(settings, tmp_path, caplog):
    path = tmp_path / "no_text.safetensors"
    ovsam.save_checkpoint(ovsam.build_model("nano"), path, with_text=False)
    caplog.set_level("INFO")
    labeller = build(settings, model=str(path), labels="detector", vocabulary="nano")
    assert "came without CLIP's text tower, so class names cannot be embedded)" in caplog.text
    assert "text_tower" not in labeller.facts.depends_on
    with pytest.raises(CheckpointError, match="came without CLIP's text tower"):
        build(settings, model=str(path), labels="fused", vocabulary="nano")


@pytest.mark.parametrize(
    ("name", "trained_on", "labels", "names", "expected"),
    [
        ("nano", "nano", "detector", ("cat",), "nano"),
        ("rn50x16-lvis", "lvis", "model", ("cat",), "lvis"),
        ("rn50x16-lvis", "lvis", "detector", None, "lvis"),
        ("rn50x16-lvis", "lvis", "detector", ("Cat", "dog"), "coco"),
        ("rn50x16-lvis", "lvis", "detector", ("cat", "gryphon"), "fake"),
        ("photo", None, "fused", ("cat",), "everyday"),
        ("photo", None, "model", None, "everyday"),
        ("photo", None, "detector", ("cat", "dog"), "coco"),
    ],
)
def test_default_vocabulary_follows_model_and_detector(name, trained_on, labels, names, expected):
    model = ModelFacts(name, "", trained_on)
    detector = SimpleNamespace(class_names=names, name="fake")
    config = LabelConfig(sources=("x",), labels=labels)
    assert choose_vocabulary(config, model, detector)[0].title == expected


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "rn50x17"}, ConfigError, "unknown weights 'rn50x17'"),
        ({"model": "missing.safetensors"}, ConfigError, "there is no file missing.safetensors"),
        ({"detector": "yolo"}, ConfigError, "unknown detector 'yolo'"),
        ({"vocabulary": "coca"}, VocabularyError, "did you mean 'coco'"),
        ({"device": "gpu"}, ConfigError, "expected --device as auto, cpu or cuda:0, got 'gpu'"),
    ],
)
def test_unknown_names_are_refused(settings, changes, error, message):
    with pytest.raises(error, match=message):
        build(settings, **changes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there_is_refused(settings):
    with pytest.raises(ConfigError, match="torch finds none here"):
        build(settings, device="cuda")
