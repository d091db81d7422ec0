"""Label Studio's requests, as its version 1.23.2 sent them, and what it is answered."""

import copy
import logging

import numpy as np
import pytest
from fake_editor_model import FakeEditorModel, make_masked
from PIL import Image

from ovsam.errors import ConfigError, ImageError, OvsamError, PromptError
from ovsam.masks import decode_mask
from ovsam_pipeline.export.brush_runs import decode_brush, encode_brush
from ovsam_pipeline.export.mask_crops import crop_mask
from ovsam_pipeline.ui.editors import label_studio
from ovsam_pipeline.ui.editors.images import AllowedImages, allow_images
from ovsam_pipeline.ui.editors.label_studio import LabelStudioBackend, read_context
from ovsam_pipeline.ui.editors.web_origin import WebOrigin

HEIGHT, WIDTH = 50, 80
CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="mask" toName="image">
    <Label value="mug"/><Label value="Coffee Cup" alias="cup"/>
  </BrushLabels>
  <KeyPointLabels name="click" toName="image" smart="true">
    <Label value="name it"/><Label value="cup"/>
  </KeyPointLabels>
</View>"""
TASK = {
    "id": 16,
    "data": {"image": "/data/local-files/?d=a.png"},
    "meta": {},
    "created_at": "2026-11-29T16:36:52.373728Z",
    "is_labeled": False,
    "overlap": 1,
    "project": 5,
    "file_upload": None,
    "annotations": [],
    "predictions": [],
}
REQUEST = {
    "tasks": [TASK],
    "project": "5.1795970212",
    "label_config": CONFIG,
    "params": {"login": None, "password": None, "context": None},
}
CLICK = {
    "id": "a",
    "from_name": "click",
    "to_name": "image",
    "type": "keypointlabels",
    "original_width": WIDTH,
    "original_height": HEIGHT,
    "image_rotation": 0,
    "is_positive": True,
    "value": {"x": 25, "y": 50, "width": 0.5, "keypointlabels": ["name it"]},
}


def make_mask():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 20:60] = True
    mask[15:20, 30:35] = False
    return mask


@pytest.fixture
def folder(tmp_path):
    pixels = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels * 0).save(tmp_path / "black.png")
    return tmp_path


@pytest.fixture
def make_backend(folder):
    def make(*objects, **settings):
        model = FakeEditorModel(objects or [make_masked(make_mask(), risk=0.25)], **settings)
        return LabelStudioBackend(model, allow_images([str(folder)], None, environment={}))

    return make


def ask(backend, *context, config=CONFIG):
    request = copy.deepcopy(REQUEST)
    request["label_config"] = config
    request["params"]["context"] = {"result": list(context)} if context else None
    return backend.predict(request)


def test_whole_image_is_answered_with_brush_regions(make_backend):
    backend = make_backend()
    answer = ask(backend)
    [prediction] = answer["results"]
    [region] = prediction["result"]
    assert prediction["score"] == 0.75  # 1 - risk
    assert answer["model_version"] == prediction["model_version"]
    plain = {key: region[key] for key in region if key not in ("id", "value")}
    assert plain == {
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "score": 0.5,
        "meta": {"text": ["risk 0.25"]},
    }
    assert region["value"]["brushlabels"] == ["mug"]
    assert (decode_brush(region["value"]["rle"], HEIGHT, WIDTH) == make_mask()).all()
    assert backend.model.asked == [(("mug", "Coffee Cup"), None)]


def test_version_is_that_of_setup_and_follows_the_labels(make_backend):
    backend = make_backend()
    version = backend.set_up({"schema": CONFIG})["model_version"]
    assert ask(backend)["model_version"] == version
    other = CONFIG.replace('"mug"', '"mugs"')
    assert backend.set_up({"schema": other})["model_version"] != version
    assert version.startswith(backend.list_versions()["versions"][0])


def test_click_is_named_by_the_model_where_its_label_is_no_class(make_backend):
    backend = make_backend()
    [answer] = ask(backend, CLICK)["results"]
    [region] = answer["result"]
    assert region["value"]["brushlabels"] == ["mug"]
    assert region["meta"]["text"][0] == "model: mug 0.75, cup 0.12"
    [(_, prompt)] = backend.model.asked
    assert prompt.points == ((20.0, 25.0, 1),)


def test_click_with_the_label_of_a_class_keeps_it(make_backend):
    click = {**CLICK, "value": {**CLICK["value"], "keypointlabels": ["cup"]}}
    [answer] = ask(make_backend(), click)["results"]
    assert answer["result"][0]["value"]["brushlabels"] == ["cup"]


def test_names_of_the_server_are_matched_to_the_labels(make_backend, caplog):
    backend = make_backend(
        make_masked(make_mask(), "coffee_cup"), make_masked(make_mask(), "dog"), vocabulary="a,b"
    )
    backend.model.given_names = (("dog", 0.5), ("coffee cup", 0.25))
    for _ in range(2):
        [prediction] = ask(backend)["results"]
        assert [r["value"]["brushlabels"] for r in prediction["result"]] == [["cup"]]
    assert ask(backend, CLICK)["results"][0]["result"][0]["value"]["brushlabels"] == ["cup"]
    told = [record.message for record in caplog.records if "'dog' is none" in record.message]
    assert len(told) == 1
    backend.model.given_names = (("dog", 0.5),)
    assert ask(backend, CLICK)["results"][0]["result"][0]["value"]["brushlabels"] == []


def test_polygons_and_boxes_are_in_percent(make_backend):
    polygon = CONFIG.replace("BrushLabels", "PolygonLabels")
    [[region]] = [item["result"] for item in ask(make_backend(), config=polygon)["results"]]
    points = np.array(region["value"]["points"])
    assert points.min(axis=0).tolist() == [25, 20]
    assert points.max(axis=0).tolist() == [75, 60]
    box = CONFIG.replace("BrushLabels", "RectangleLabels")
    [[region]] = [item["result"] for item in ask(make_backend(), config=box)["results"]]
    value = region["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == [25, 20, 50, 40]


def test_empty_mask_is_an_empty_answer(make_backend):
    backend = make_backend()
    backend.model.objects = []
    assert ask(backend, CLICK)["results"][0]["result"] == []
    assert ask(backend)["results"][0] == {**ask(backend)["results"][0], "result": [], "score": 1}


def test_failed_tasks_get_no_prediction_and_a_line(make_backend, caplog):
    backend = make_backend()
    tasks = [
        {"id": 1, "data": {"image": "/data/local-files/?d=black.png"}},
        TASK,
        {"id": 3, "data": {"image": "/etc/passwd"}},
        {"id": 4, "data": {}},
        "no task",
    ]
    results = backend.predict({**REQUEST, "tasks": tasks})["results"]
    assert [bool(result) for result in results] == [False, True, False, False, False]
    texts = [record.message for record in caplog.records]
    assert "Label Studio: task 1: a black image" in texts
    assert any("task 3: expected --label-studio URL" in text for text in texts)
    assert any("task 4: expected the address of an image under 'image'" in text for text in texts)


def test_tasks_that_label_studio_would_not_wait_for_are_left(make_backend, monkeypatch, caplog):
    monkeypatch.setattr(label_studio, "_PATIENCE_S", -1.0)
    results = make_backend().predict({**REQUEST, "tasks": [TASK] * 3})["results"]
    assert results == [[], [], []]
    assert "retrieve predictions again" in caplog.text


def test_context_is_read_in_pixels_of_the_image():
    beside = {**CLICK, "is_positive": False}
    prompt = read_context([CLICK, beside], (HEIGHT, WIDTH))
    assert prompt.points == ((20.0, 25.0, 1), (20.0, 25.0, 0))
    box = {"value": {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 0}}
    ellipse = {"value": {"x": 35, "y": 40, "radiusX": 25, "radiusY": 20}}
    polygon = {"value": {"points": [[10, 20], [60, 30], [20, 60]]}}
    for region in (box, ellipse, polygon):
        assert read_context([region], (HEIGHT, WIDTH)).box == (8, 10, 48, 30)


def test_brush_stroke_is_a_coarse_mask():
    mask = make_mask()
    runs = encode_brush(crop_mask(make_masked(mask).segmentation), HEIGHT, WIDTH).tolist()
    prompt = read_context([{"value": {"format": "rle", "rle": runs}}], (HEIGHT, WIDTH))
    assert (decode_mask(prompt.scribble, HEIGHT, WIDTH) == mask).all()


@pytest.mark.parametrize(
    "context",
    [
        [5],
        [{}],
        [{"value": None}],
        [{"value": {}}],
        [{"value": {"x": "a", "y": 1}}],
        [{"value": {"x": 1}}],
        [{"value": {"x": float("nan"), "y": 1}}],
        [{"value": {"x": 1, "y": 1, "width": 1, "height": None}}],
        [{"value": {"points": []}}],
        [{"value": {"points": [[1]]}}],
        [{"value": {"points": 3}}],
        [{"value": {"rle": [1, 2]}}],
        [{"value": {"rle": [[1]]}}],
        [{"value": {"rle": [999]}}],
        [{"value": {"rle": "abc"}}],
        [{"value": {"x": 1, "y": 1}, "is_positive": False}],
    ],
)
def test_other_contexts_are_refused(context):
    with pytest.raises(PromptError):
        read_context(context, (HEIGHT, WIDTH))


@pytest.mark.parametrize(
    "changed",
    [{"label_config": None}, {"label_config": "<View/>"}, {"tasks": None}, {"tasks": []}],
)
def test_other_requests_are_refused(make_backend, changed):
    with pytest.raises(OvsamError, match="expected"):
        make_backend().predict({**REQUEST, **changed})


def test_unreadable_image_of_a_click_is_an_error(make_backend):
    request = copy.deepcopy(REQUEST)
    request["params"]["context"] = {"result": [CLICK]}
    request["tasks"][0]["data"]["image"] = "/data/local-files/?d=gone.png"
    with pytest.raises(ImageError, match=r"file not found: 'gone\.png'"):
        make_backend().predict(request)


def test_token_of_setup_is_for_label_studio_alone(make_backend):
    backend = make_backend()
    backend.set_up({"schema": CONFIG, "access_token": "abc"})  # no server was named
    for given, wanted in (("", "abc"), ("mine", "mine")):
        server = WebOrigin("http://studio:8080", given)
        backend.images = AllowedImages((), server)
        backend.set_up({"schema": CONFIG, "access_token": "abc"})
        assert server.token == wanted
    backend.images = AllowedImages((), WebOrigin("http://studio:8080"))
    backend.set_up({"schema": CONFIG, "access_token": "a\r\nHost: evil"})
    assert backend.images.label_studio.token == ""


def test_training_is_refused_in_a_sentence(make_backend):
    backend = make_backend()
    for ask_for in (
        lambda: backend.refuse_training({}),
        lambda: backend.take_event({"action": "START_TRAINING"}),
    ):
        with pytest.raises(ConfigError, match="ovsam serve does not train"):
            ask_for()
    assert backend.take_event({"action": "ANNOTATION_CREATED", "annotation": {}}) == {}


def test_names_that_cannot_be_embedded_are_told_after_setup(make_backend, caplog):
    backend = make_backend()

    def fail(names):
        raise ConfigError("no such names")

    backend.model.name_by = fail
    with caplog.at_level(logging.WARNING):
        backend._prepare(("a",))
    assert "Label Studio: no such names" in caplog.text
