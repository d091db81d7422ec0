"""What editors ask of the networks, with nano: the same answers as `ovsam label` and Predictor."""

from dataclasses import replace

import numpy as np
import pytest
from locations import ROOT

import ovsam
from ovsam.decode import decode_file
from ovsam.errors import ConfigError, ImageError
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.ui.demo.prompt import Prompt
from ovsam_pipeline.ui.editors.images import TaskImage
from ovsam_pipeline.ui.editors.model import EditorModel

SCENE = sorted((ROOT / "examples" / "scenes").glob("*.jpg"))[0]
CLICK = Prompt(box=(40.0, 40.0, 300.0, 300.0))


@pytest.fixture(scope="module")
def model():
    found = EditorModel(LabelConfig(sources=("x",), model="nano", detector="nano"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def image():
    return TaskImage("scene", lambda: decode_file(SCENE))


def test_click_is_that_of_the_predictor(model, image):
    found = model.point(model.own, image, lambda _: CLICK)
    predictor = model.own.session.predictor
    predictor.set_image(decode_file(SCENE))
    wanted = predictor.predict(boxes_xyxy=[CLICK.box])
    assert found.object.category == predictor.vocabulary.names[wanted.labels[0]]
    assert found.object.area == wanted.masks[0].sum()


def test_whole_image_is_that_of_ovsam_label(model, image, tmp_path):
    row = model.label(model.own, image)
    result = ovsam_label(tmp_path)
    assert [(item.category, item.segmentation) for item in row.objects] == result
    assert len(result) > 1


def ovsam_label(tmp_path):
    from ovsam_pipeline import label, read

    label(SCENE, output=tmp_path / "out", model="nano", detector="nano", engine="local")
    [row] = read(tmp_path / "out")
    return [(item["category"], item["segmentation"]) for item in row["objects"]]


def test_labels_of_a_project_are_the_names(model, image, caplog):
    known = [str(name) for name in ovsam.load_vocabulary("nano").names[:3]]
    naming = model.name_by((*known, known[0].upper(), "zorgblat"))
    assert naming.names == tuple(known)
    assert "does not know 1 label ('zorgblat')" in caplog.text
    assert model.name_by((*known, known[0].upper(), "zorgblat")) is naming
    assert {item.category for item in model.label(naming, image).objects} <= set(known)
    assert {name.category for name in model.point(naming, image, lambda _: CLICK).names} <= set(
        known
    )
    assert naming.version != model.own.version


def test_unknown_labels_alone_leave_the_servers_names(model, caplog):
    assert model.name_by(("zorgblat",)) is model.own
    assert "none of the labels ('zorgblat')" in caplog.text


def test_endless_lists_are_refused(model):
    with pytest.raises(ConfigError, match="expected at most 50,000 names, got 60,000"):
        model.name_by(("zorgblat",) * 60_000)


def test_names_of_the_detector_stay_where_it_alone_names(model, monkeypatch):
    config = replace(model.config, labels="detector")
    monkeypatch.setattr(model, "config", config)
    assert model.name_by(("anything",)) is model.own


def test_image_that_cannot_be_read_fails_alone(model):
    def fail():
        raise ImageError("gone")

    for ask in (model.label, lambda naming, image: model.point(naming, image, lambda _: CLICK)):
        with pytest.raises(ImageError, match="gone"):
            ask(model.own, TaskImage("gone", fail))


def test_click_outside_is_inside_the_nearest_edge(model):
    black = TaskImage("black", lambda: np.zeros((20, 30, 3), np.uint8))
    prompt = Prompt(points=((500.0, -5.0, 1),))
    found = model.point(model.own, black, lambda _: prompt)
    assert found.object is None or found.object.segmentation["size"] == [20, 30]


def test_stored_boxes_are_refused():
    with pytest.raises(ConfigError, match="boxes of stored images"):
        EditorModel(LabelConfig(sources=("x",), model="nano", detector="boxes:a.json"))
