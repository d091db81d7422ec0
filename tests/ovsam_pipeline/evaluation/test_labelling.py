import json
from functools import partial

import cv2
import numpy as np
import pytest
from fake_labeller import NAMES, make_labeller

from ovsam.errors import ConfigError
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.evaluation.config import EvalConfig
from ovsam_pipeline.evaluation.datasets import find_dataset
from ovsam_pipeline.evaluation.labelling import build_label_config, label_dataset
from ovsam_pipeline.evaluation.reading.truth import read_ground_truth
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.labelling.rules import PAPER, LabelRules
from ovsam_pipeline.output.folder import iterate_rows

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def truth_path(tmp_path):
    """Three pictures with two objects each; ids fall as the file goes on."""
    folder = tmp_path / "data" / "images"
    folder.mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    for index, number in enumerate((30, 20, 10)):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((24, 32, 3), number, np.uint8))
        size = {"width": 32, "height": 24}
        content["images"].append({"id": number, "file_name": f"{number}.png", **size})
        for box in ([1, 1, 10, 10], [12, 2, 0.2, 9]):
            common = {"image_id": number, "category_id": 1, "bbox": box, "area": 9}
            content["annotations"].append({"id": 100 * number + index + int(box[0]), **common})
    path = tmp_path / "data" / "truth.json"
    path.write_text(json.dumps(content))
    return path


def build(truth_path, output, **settings):
    config = EvalConfig(dataset=str(truth_path), **settings)
    dataset = find_dataset(config.dataset, data_root=None, image_root=config.image_root)
    truth = read_ground_truth(dataset.annotations, limit=config.limit)
    return config, dataset, output, truth


def build_config(truth_path, output, **settings):
    return build_label_config(*build(truth_path, output, **settings))


@pytest.mark.parametrize(
    ("settings", "detector", "protocol"),
    [
        ({}, "gt:{}", "evaluate"),
        ({"split": "none"}, "gt:{}", "evaluate-all-classes"),
        ({"prompts": "gt-point"}, "gt:{}#points", "evaluate"),
        (
            {"prompts": "gt-point", "released_points": True},
            "gt:{}#points",
            "evaluate-released-points",
        ),
        ({"prompts": "detector"}, "auto", "evaluate"),
        ({"prompts": "detector", "detector": "boxes:b.json"}, "boxes:b.json", "evaluate"),
    ],
)
def test_prompts_and_split_choose_detector_and_protocol(
    truth_path, tmp_path, settings, detector, protocol
):
    config = build_config(truth_path, tmp_path / "out", **settings)
    assert config.detector == detector.format(truth_path)
    assert config.protocol == protocol
    assert config.sources == (str(truth_path),)
    assert config.output == str(tmp_path / "out" / "predictions")
    assert config.vocabulary == str(truth_path)


def test_limits_of_detections_are_those_of_the_data_set(truth_path, tmp_path):
    config = build_config(truth_path, tmp_path, conf=0.2, batch=3, vocabulary="nano")
    assert (config.max_det, config.conf, config.iou) == (100, 0.2, 1.0)
    assert (config.batch, config.vocabulary) == (3, "nano")
    assert build_config(truth_path, tmp_path, max_det=7).max_det == 7
    content = json.loads(truth_path.read_text())
    for image in content["images"]:
        image.update(neg_category_ids=[], not_exhaustive_category_ids=[])
    truth_path.write_text(json.dumps(content))
    assert build_config(truth_path, tmp_path).max_det == 300


def test_limit_lists_the_first_images_by_id_with_their_folder(truth_path, tmp_path):
    config = build_config(truth_path, tmp_path / "out", limit=2)
    assert config.sources == (str(tmp_path / "out" / "images.json"),)
    listed = json.loads((tmp_path / "out" / "images.json").read_text())
    assert [image["id"] for image in listed["images"]] == [20, 10]
    assert config.image_root == str(truth_path.parent / "images")


def test_missing_images_are_named(truth_path, tmp_path):
    for path in (truth_path.parent / "images").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match="name their folder with --image-root"):
        build_config(truth_path, tmp_path / "out", limit=1)


def make_evaluation_labeller(config, embedding=None):
    rules = LabelRules(Vocabulary(NAMES), iou=None, max_det=None, evaluation=PAPER)
    return make_labeller(config, rules=rules, detector=build_detector(config.detector))


def test_data_set_is_labelled_with_the_ids_of_its_annotations(truth_path, tmp_path, monkeypatch):
    monkeypatch.setattr(builders, "build_labeller", make_evaluation_labeller)
    run = partial(build, truth_path, tmp_path / "out")
    first = label_dataset(*run(limit=1))
    assert (first.exit_code, first.totals.images) == (0, 1)
    result = label_dataset(*run())
    assert (result.exit_code, result.totals.images, result.summary.done) == (0, 3, 2)
    rows = {row["image_id"]: row["objects"] for row in iterate_rows(tmp_path / "out/predictions")}
    found = {number: [item["prompt_id"] for item in rows[number]] for number in rows}
    assert found == {10: [1003, 1014], 20: [2002, 2013], 30: [3001, 3012]}
    # The thin box has an empty mask here, and is an answer all the same.
    assert [item["area"] for item in rows[10]] == [100, 0]
    exported = json.loads((tmp_path / "out/predictions/annotations.json").read_text())
    # Parts are named by the images' times, so only the ids tell the order.
    annotations = sorted(exported["annotations"], key=lambda item: item["id"])
    assert [item["prompt_id"] for item in annotations][:2] == [1003, 1014]


def test_unlike_settings_do_not_continue_an_output(truth_path, tmp_path, monkeypatch):
    monkeypatch.setattr(builders, "build_labeller", make_evaluation_labeller)
    label_dataset(*build(truth_path, tmp_path / "out"))
    with pytest.raises(ConfigError, match="conf"):
        label_dataset(*build(truth_path, tmp_path / "out", conf=0.5))
