"""X-AnyLabeling's requests, as its version 4.2 sends them, and what it is answered."""

import base64
import io

import numpy as np
import pytest
from fake_editor_model import FakeEditorModel, make_masked
from PIL import Image

from ovsam.errors import ConfigError, OvsamError, PromptError
from ovsam_pipeline.ui.editors.x_anylabeling import UNNAMED, XAnyLabelingServer, read_marks

HEIGHT, WIDTH = 50, 80


def make_request(model, **params):
    stream = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 9, np.uint8)).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    plain = {"conf_threshold": 0.0, "iou_threshold": 0.0, "epsilon_factor": 0.001}
    return {
        "model": model,
        "image": f"data:image/png;base64,{data}",
        "params": {**plain, **params},
    }


def make_server(*masks, **settings):
    objects = [
        make_masked(mask, category, score=score, risk=0.5, reason="mask unstable")
        for mask, category, score in masks or [(make_mask(), "mug", 0.75)]
    ]
    return XAnyLabelingServer(FakeEditorModel(objects, **settings))


def make_mask():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 20:60] = True
    return mask


def predict(server, model, **params):
    answer = server.predict(make_request(model, **params))
    assert answer["success"] is True
    return answer["data"]


POINT = {"type": "point", "data": [30, 20], "label": 1}


def test_models_are_listed_with_the_editors_controls():
    models = make_server(min_score=0.25).list_models()["data"]
    assert list(models) == ["ovsam-name", "ovsam-outline", "ovsam-label"]
    widgets = {item["name"]: item["value"] for item in models["ovsam-label"]["widgets"]}
    assert widgets["edit_conf"] == 0.25
    assert models["ovsam-label"]["classes"] == ["mug", "cup"]
    assert models["ovsam-name"]["batch_processing_mode"] is None
    info = make_server().describe_model("ovsam-name")["data"]
    assert info["model_id"] == "ovsam-name"
    assert make_server().tell_health()["models_loaded"] == 3
    with pytest.raises(ConfigError, match="expected a model out of ovsam-name"):
        make_server().describe_model("yolo11n")


def test_model_without_names_outlines_alone():
    server = make_server(names=())
    assert list(server.list_models()["data"]) == ["ovsam-outline", "ovsam-label"]
    assert predict(server, "ovsam-outline", marks=[POINT])["shapes"][0]["label"] == UNNAMED


def test_each_click_is_a_named_polygon():
    server = make_server()
    data = predict(server, "ovsam-name", marks=[{**POINT, "data": [1, 1]}, POINT])
    assert data["replace"] is False
    [shape] = data["shapes"]
    assert shape == {
        "label": "mug",
        "shape_type": "polygon",
        "points": shape["points"],
        "score": 0.75,
        "attributes": {},
        "description": "mug 0.75, cup 0.12; risk 0.50: mask unstable",
        "difficult": False,
        "direction": 0,
        "flags": {},
        "group_id": None,
        "kie_linking": [],
    }
    corners = sorted(map(tuple, shape["points"]))
    assert corners == [(20, 10), (20, 30), (60, 10), (60, 30)]
    # The mark before it has its object already.
    assert server.model.asked[0][1].points == ((30.0, 20.0, 1),)


def test_outline_takes_all_marks_and_has_no_name():
    server = make_server()
    marks = [POINT, {"type": "point", "data": [1, 2], "label": 0}]
    marks.append({"type": "rectangle", "data": [60, 40, 20, 10], "label": 1})
    [shape] = predict(server, "ovsam-outline", marks=marks)["shapes"]
    assert shape["label"] == "AUTOLABEL_OBJECT"
    prompt = server.model.asked[0][1]
    assert prompt.points == ((30.0, 20.0, 1), (1.0, 2.0, 0))
    assert prompt.box == (20.0, 10.0, 60.0, 40.0)


@pytest.mark.parametrize("marks", [None, [], [{**POINT, "label": 0}]])
def test_without_a_mark_on_an_object_nothing_is_done(marks):
    server = make_server()
    for model in ("ovsam-name", "ovsam-outline"):
        assert predict(server, model, marks=marks)["shapes"] == []
    assert server.model.asked == []


def test_whole_image_follows_the_editors_filters():
    other = np.zeros((HEIGHT, WIDTH), bool)
    other[40:48, 5:15] = other[40:48, 60:70] = True
    server = make_server((make_mask(), "mug", 0.75), (other, "Coffee Cup", 0.25))
    data = predict(server, "ovsam-label")
    assert "replace" not in data  # the editor's own switch decides
    assert [shape["label"] for shape in data["shapes"]] == ["mug", "Coffee Cup", "Coffee Cup"]
    groups = [shape["group_id"] for shape in data["shapes"]]
    assert groups[0] is None
    assert groups[1] == groups[2] > 0
    kept = predict(server, "ovsam-label", conf_threshold=0.5)["shapes"]
    assert [shape["label"] for shape in kept] == ["mug"]
    kept = predict(server, "ovsam-label", filter_classes=["coffee cup"])["shapes"]
    assert {shape["label"] for shape in kept} == {"Coffee Cup"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tea pot, mug,cup", ("tea pot", "mug", "cup")),
        ("tea pot.mug. cup", ("tea pot", "mug", "cup")),
        ("St. Bernard, mug", ("St. Bernard", "mug")),
        ("mug", ("mug",)),
        (" . ", ("mug", "cup")),  # none: those of the server
    ],
)
def test_names_that_are_typed_are_looked_for(text, names):
    server = make_server()
    predict(server, "ovsam-label", text_prompt=text)
    assert server.model.asked[0][0] == names


@pytest.mark.parametrize(
    "marks",
    [
        [5],
        [{}],
        [{"type": "point", "data": [1]}],
        [{"type": "point", "data": ["a", 1]}],
        [{"type": "rectangle", "data": [1, 2, 3]}],
        [{"type": "point", "data": [float("inf"), 1]}],
    ],
)
def test_other_marks_are_refused(marks):
    with pytest.raises(PromptError):
        read_marks(marks)


@pytest.mark.parametrize(
    "changed",
    [{"model": 5}, {"model": "x"}, {"image": None}, {"image": "%%"}, {"params": [1]}],
)
def test_other_requests_are_refused(changed):
    with pytest.raises(OvsamError, match="expected"):
        make_server().predict({**make_request("ovsam-label"), **changed})


@pytest.mark.parametrize("value", [5, {"a": 1}, "mug", True])
def test_what_is_no_list_is_refused(value):
    for model, key in (("ovsam-name", "marks"), ("ovsam-label", "filter_classes")):
        with pytest.raises(PromptError, match=f"expected {key} as a list"):
            predict(make_server(), model, **{key: value})


def test_odd_numbers_of_the_editor_are_passed_over():
    server = make_server()
    for value in (None, "a", -1, float("nan"), True):
        assert predict(server, "ovsam-label", epsilon_factor=value, conf_threshold=value)["shapes"]
