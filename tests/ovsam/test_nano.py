"""The shipped weights: they load, know their words, and label example scenes well."""

import json
from pathlib import Path

import numpy as np
import pytest
from locations import SCENES
from PIL import Image, ImageOps

import ovsam
from ovsam.text.known_names import describe_unknown_texts, list_nano_texts

DATA = Path(ovsam.__file__).parent / "data" / "nano"


@pytest.fixture(scope="module")
def predictor() -> ovsam.Predictor:
    model = ovsam.load_model("nano").prepare_for_inference()
    return ovsam.Predictor(model, ovsam.load_vocabulary("nano"))


@pytest.fixture(scope="module")
def results(predictor) -> list[tuple[float, bool]]:
    """IoU and whether the label is right, for every object of the example scenes."""
    coco_mask = pytest.importorskip("pycocotools.mask")
    content = json.loads((SCENES / "annotations.json").read_text())
    rows = []
    for image in content["images"]:
        with Image.open(SCENES / image["file_name"]) as picture:
            predictor.set_image(np.array(ImageOps.exif_transpose(picture).convert("RGB")))
        objects = [row for row in content["annotations"] if row["image_id"] == image["id"]]
        boxes = np.array([row["bbox"] for row in objects], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        found = predictor.predict(boxes_xyxy=boxes)
        for row, mask, label in zip(objects, found.masks, found.labels, strict=True):
            truth = coco_mask.decode(row["segmentation"]).astype(bool)
            iou = (mask & truth).sum() / (mask | truth).sum()
            rows.append((float(iou), int(label) + 1 == row["category_id"]))
    return rows


def test_example_scenes_are_segmented(results):
    assert np.mean([iou for iou, _ in results]) > 0.78


def test_example_scenes_are_labelled(results):
    assert np.mean([is_right for _, is_right in results]) > 0.85


def test_shipped_files_fit_their_budget():
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= 20_000_000


def test_example_files_fit_their_budget_and_agree_with_the_vocabulary():
    content = json.loads((SCENES / "annotations.json").read_text())
    assert sum(path.stat().st_size for path in SCENES.iterdir()) < 3_000_000
    assert len(content["images"]) == 24
    vocabulary = ovsam.load_vocabulary("nano")
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert names == dict(zip(vocabulary.category_ids, vocabulary.names, strict=True))


def test_synonym_finds_its_class_alone(predictor):
    tower = predictor.model.text_tower
    vocabulary = predictor.vocabulary
    pair = tower.encode(["a photo of a rabbit.", "a photo of a bunny."])
    index = vocabulary.index_of("rabbit")
    for row in pair @ vocabulary.embeddings.flatten(0, 1).T:
        assert int(row.argmax()) // vocabulary.embeddings.shape[1] == index


def test_word_nano_cannot_know_is_refused(predictor):
    words = ovsam.Vocabulary(["submarine sandwich", "xylophone"])
    with pytest.raises(ovsam.VocabularyError, match="knows only its own"):
        ovsam.embed_vocabulary(words, predictor.model.text_tower)


def test_only_slips_of_the_keyboard_are_told_as_what_was_meant():
    known = list_nano_texts()
    assert "(did you mean 'penguin'?)" in describe_unknown_texts(["pengiun"], known)
    assert "did you mean" not in describe_unknown_texts(["person"], known)  # "present" is none
