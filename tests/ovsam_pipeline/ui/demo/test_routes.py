"""A demo with nano, by its addresses: what a page asks, and what lies on disk afterwards."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from locations import ROOT
from tiny_sam import put_tiny_sam

starlette = pytest.importorskip("starlette")
from starlette.testclient import TestClient  # noqa: E402

from ovsam.decode import decode_file  # noqa: E402
from ovsam.errors import ConfigError  # noqa: E402
from ovsam.masks import encode_mask  # noqa: E402
from ovsam_pipeline.errors import OutputLockedError  # noqa: E402
from ovsam_pipeline.output.done_index import compute_key  # noqa: E402
from ovsam_pipeline.output.folder import iterate_rows, read_run_file  # noqa: E402
from ovsam_pipeline.output.reviews import read_answers  # noqa: E402
from ovsam_pipeline.settings.label import LabelConfig  # noqa: E402
from ovsam_pipeline.ui.demo.load import load_demo  # noqa: E402
from ovsam_pipeline.ui.demo.routes import build_demo_routes, complete  # noqa: E402
from ovsam_pipeline.ui.security import Security  # noqa: E402
from ovsam_pipeline.ui.server import build_app  # noqa: E402

SCENES = ROOT / "examples" / "scenes"
HOSTILE = "<img src=x onerror=alert(1)>.jpg"


def open_client(demo):
    security = Security.create()
    start, routes = build_demo_routes(demo)
    app = build_app(start, routes, security)
    return TestClient(app, base_url=f"http://127.0.0.1/{security.token}/")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "photos"
    folder.mkdir()
    shutil.copy(SCENES / "scene_0000.jpg", folder / "scene.jpg")
    shutil.copy(SCENES / "scene_0001.jpg", folder / HOSTILE)
    return folder


@pytest.fixture(scope="module")
def demo(images):
    config = LabelConfig(sources=(str(images),), model="nano", device="cpu")
    with load_demo(config, images.parent / "labels", "ann") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def client(demo):
    with open_client(demo) as found:
        yield found


@pytest.fixture(scope="module")
def row(demo):
    return [record.file_name for record in demo.images.records].index("scene.jpg")


@pytest.fixture(scope="module")
def truth():
    """The box of an object of the scene, left, top, right, bottom."""
    data = json.loads((SCENES / "annotations.json").read_text())
    image = next(one for one in data["images"] if one["file_name"] == "scene_0000.jpg")
    found = [one for one in data["annotations"] if one["image_id"] == image["id"]]
    left, top, width, height = max(found, key=lambda one: one["area"])["bbox"]
    return [left, top, left + width, top + height]


def ask(client, address, /, **given):
    return client.post(f"api/{address}", json=given)


def test_page_begins_with_what_it_needs(client):
    page = client.get("").text
    start = json.loads(page.partition('id="start">')[2].partition("</script>")[0])
    assert start["kind"] == "demo"
    assert [one["file_name"] for one in start["images"]] == [HOSTILE, "scene.jpg"]
    assert start["model"]["name"] == "nano"
    assert {one["name"] for one in start["vocabularies"]} >= {"coco", "lvis", "nano"}
    assert HOSTILE not in page


def test_click_gives_the_mask_of_the_python_api(client, demo, row, images, truth):
    pixels = decode_file(images / "scene.jpg")
    x, y = (truth[0] + truth[2]) / 2, (truth[1] + truth[3]) / 2
    predictor = demo.session.predictor
    predictor.set_image(pixels)
    for prompt, given in (
        ({"points": [[x, y, 1]]}, {"points_xy": [[[x, y]]]}),
        ({"box": truth}, {"boxes_xyxy": [truth]}),
        (
            {"points": [[x, y, 1], [3, 3, 0]]},
            {"points_xy": [[[x, y], [3, 3]]], "point_labels": [[1, 0]]},
        ),
    ):
        expected = predictor.predict(**given)
        found = ask(client, "predict", row=row, **prompt).json()
        assert found["segmentation"] == encode_mask(expected.masks[0])
        assert found["area"] == int(expected.areas[0])
        best = found["names"][0]
        assert best["category"] == predictor.vocabulary.names[int(expected.labels[0])]
        assert best["score"] == pytest.approx(float(expected.scores[0]), abs=1e-6)
        assert len(found["names"]) == 6
        scores = [name["score"] for name in found["names"]]
        assert scores == sorted(scores, reverse=True)


def test_names_are_those_of_a_run_with_the_same_prompt(client, demo, row, truth, tmp_path):
    """`ovsam label` with the box as its detector's."""
    from ovsam_pipeline.detectors.base import Detections
    from ovsam_pipeline.labelling.modes import FoundImage, MasksAndLabels
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.sources.read_image import decode_image

    record = demo.images.get(row)
    rules = LabelRules(demo.session.vocabulary)
    mode = MasksAndLabels(demo.session.predictor, rules, demo.session.input_size)
    pixels = decode_image(record)
    boxes = Detections(np.array([truth], np.float32), np.ones(1, np.float32))
    image = FoundImage(record, pixels.shape[:2], mode.prepare(pixels), boxes)
    [((item,), _)] = mode.build_objects([image])
    found = ask(client, "predict", row=row, box=truth).json()
    assert found["names"][0]["category"] == item.category
    assert found["names"][0]["score"] == pytest.approx(item.score, abs=1e-6)
    assert found["segmentation"] == item.segmentation
    assert (found["risk"], found["reason"]) == (pytest.approx(item.risk), item.reason)


def test_scribble_and_hover(client, row, truth):
    left, top, right, bottom = truth
    stroke = [
        [left * 0.7 + right * 0.3, (top + bottom) / 2],
        [left * 0.3 + right * 0.7, bottom * 0.5 + top * 0.5],
    ]
    found = ask(client, "predict", row=row, scribble=[stroke]).json()
    assert found["area"] > 0
    hover = ask(client, "predict", row=row, points=[[left + 5, top + 5, 1]], hover=True, sequence=1)
    assert hover.json().keys() == {"path", "names", "seconds", "model_seconds"}
    assert len(hover.json()["names"]) == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "expected a point on the object"),
        ({"points": [[1, 2, 0]]}, "expected a point on the object"),
        ({"points": [[1, 2]]}, "expected a point as [x, y, 1 or 0], got [1, 2]"),
        ({"points": [[1e30, 2, 1]]}, "in pixels of the image"),
        ({"points": [["<b>", 2, 1]]}, "expected a point as"),
        ({"box": [5, 5, 1, 9]}, "expected a box as left, top, right, bottom"),
        ({"box": [9000, 5, 9100, 9]}, "a box must overlap the 640 x 640 image"),
        ({"scribble": {"size": [640, 640], "counts": "!"}}, "scribble cannot be read"),
        ({"scribble": {"size": [64, 640], "counts": [64 * 640]}}, "of the image's shape"),
        ({"scribble": {"size": [64, 64], "counts": [64 * 64]}}, "got an empty one"),
        ({"scribble": [[[-900, -900], [-800, -800]]]}, "expected a scribble on the image"),
        ({"scribble": "x"}, "as a mask or as strokes"),
    ],
)
def test_prompt_that_cannot_be_is_one_sentence(client, row, given, sentence):
    answer = ask(client, "predict", row=row, **given)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_requests_that_cannot_be_are_one_sentence(client):
    assert "got 99" in ask(client, "open", row=99).json()["error"]
    assert "whole number" in ask(client, "open", row="0").json()["error"]
    assert "JSON object" in client.post("api/open", json=[1]).json()["error"]
    assert client.get("picture/99").status_code == 404
    assert "expected names" in ask(client, "vocabulary", text=" ").json()["error"]


def test_stroke_wider_than_any_brush_covers_the_image(client, row):
    scribble = {"strokes": [[[9, 9]]], "width": 1e6}
    assert ask(client, "predict", row=row, scribble=scribble).status_code == 200


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\0", "a\u202eb", "a" * 257, 5, None])
def test_names_are_one_plain_line(client, row, truth, name):
    prompt = {"box": truth}
    for route, key in (("accept", "category"), ("examples", "name")):
        answer = ask(client, route, row=row, prompt=prompt, **{key: name})
        assert answer.status_code == 400
        assert f"expected {key} as a name of 1 to 256 letters" in answer.json()["error"]


def test_picture_that_is_gone_is_no_example(client, demo, row, truth, monkeypatch):
    ask(client, "open", row=row)
    gone = [replace(record, path=Path("gone.jpg")) for record in demo.images.records]
    monkeypatch.setattr(demo.images, "records", gone)
    answer = ask(client, "examples", name="a widget", row=row, prompt={"box": truth})
    assert (answer.status_code, demo.vocabulary.examples) == (400, ())
    assert "cannot read gone.jpg" in answer.json()["error"]


def test_vocabulary_changes_names_and_keeps_encoded_images(client, demo, row, truth):
    before = demo.session.open_image(row, demo.images.read(row))
    try:
        told = ask(client, "vocabulary", text="trophy, lion\nrooster").json()
        assert told["names"] == ["trophy", "lion", "rooster"]
        found = ask(client, "predict", row=row, box=truth).json()
        assert {name["category"] for name in found["names"]} == {"trophy", "lion", "rooster"}
        assert demo.session.open_image(row, demo.images.read(row)) is before
        wrong = ask(client, "vocabulary", text="trophy, Trophy")
        assert (wrong.status_code, "different class names" in wrong.json()["error"]) == (400, True)
        assert ask(client, "vocabulary", text="/etc/passwd").status_code == 400
    finally:
        assert ask(client, "vocabulary", builtin="nano").json()["classes"] == 260


def test_examples_become_classes_beside_names(client, row, truth):
    prompt = {"box": truth}
    try:
        ask(client, "vocabulary", text="lion, rooster")
        [example] = ask(client, "examples", name="a widget", row=row, prompt=prompt).json()
        found = ask(client, "predict", row=row, box=truth).json()
        assert found["names"][0]["category"] == "a widget"
        assert {name["category"] for name in found["names"]} == {"lion", "rooster", "a widget"}
        assert client.delete(f"api/examples/{example['number']}").json() == []
        assert client.delete("api/examples/77").status_code == 400
        found = ask(client, "predict", row=row, box=truth).json()
        assert {name["category"] for name in found["names"]} == {"lion", "rooster"}
    finally:
        ask(client, "vocabulary", builtin="nano")


def test_accept_rename_withdraw(client, demo, row, truth, images):
    output = images.parent / "labels"
    best = ask(client, "predict", row=row, box=truth).json()["names"][0]["category"]
    [item] = ask(client, "accept", row=row, prompt={"box": truth}, category=best).json()["accepted"]
    assert (item["category"], item["verdict"], item["reviewed_by"]) == (best, "accepted", "ann")
    [stored] = iterate_rows(output)
    assert stored["file_name"] == "scene.jpg"
    assert stored["objects"][0]["category"] == best
    given = {"row": row, "number": item["number"], "key": item["key"]}
    [item] = ask(client, "rename", **given, category=" a <b>thing</b> ").json()["accepted"]
    assert (item["category"], item["verdict"]) == ("a <b>thing</b>", "renamed")
    categories = read_run_file(output)["categories"]
    assert "a <b>thing</b>" in [one["name"] for one in categories]
    assert len({one["id"] for one in categories}) == len(categories)
    # Accepted again by another name: the same object.
    [item] = ask(client, "accept", row=row, prompt={"box": truth}, category="cup").json()[
        "accepted"
    ]
    assert item["category"] == "cup"
    stale = ask(client, "withdraw", row=row, number=0, key="0" * 16)
    assert (stale.status_code, "not there any more" in stale.json()["error"]) == (409, True)
    gone = ask(client, "withdraw", row=row, number=item["number"], key=item["key"])
    assert gone.json()["accepted"] == []
    assert list(iterate_rows(output)) == []
    answers = read_answers(output)
    assert (answers.lines, answers.withdrawn, list(answers)) == (3, 3, [])
    [item] = ask(client, "accept", row=row, prompt={"box": truth}, category=best).json()["accepted"]
    assert item["category"] == best
    path = ask(client, "export").json()["annotations"]
    assert len(json.loads(Path(path).read_text())["annotations"]) == 1


def test_other_runs_wait(demo, images):
    demo.accepted.hold()
    with pytest.raises(OutputLockedError, match="is being written by process"):
        load_demo(
            LabelConfig(sources=(str(images),), model="nano"), images.parent / "labels", "ann"
        )


def test_upload_is_checked_and_kept(client, demo, images):
    data = (SCENES / "scene_0002.jpg").read_bytes()
    headers = {"Content-Type": "application/octet-stream", "X-File-Name": "..%2F..%2F%3Cb%3E.jpg"}
    told = client.post("api/upload", content=data, headers=headers).json()
    again = client.post("api/upload", content=data, headers=headers).json()
    assert told == again
    folder = images.parent / "labels" / "uploads"
    assert [path.name for path in folder.iterdir()] == [told["file_name"]]
    assert told["file_name"].startswith("_b_-")
    assert ask(client, "open", row=told["row"]).json()["width"] == 240
    wrong = client.post("api/upload", content=b"no picture", headers=headers)
    assert wrong.status_code == 400
    assert len(list(folder.iterdir())) == 1


def test_names_that_begin_with_what_is_typed_come_first():
    names = ["grape", "apple", "Apricot", "pear"]
    assert complete(" AP", names) == ["apple", "Apricot", "grape"]
    assert complete("", names) == names
    assert len(complete("n", [f"n{number}" for number in range(50)])) == 20


def test_sam_alone_leaves_names_to_people(images, tmp_path, monkeypatch):
    put_tiny_sam(tmp_path / "cache", monkeypatch)
    config = LabelConfig(sources=(str(images),), model="sam-b", device="cpu")
    with load_demo(config, tmp_path / "labels", "ann") as demo, open_client(demo) as client:
        found = ask(client, "predict", row=0, box=[50, 50, 300, 300]).json()
        assert found["names"] == []
        assert "gives masks alone" in ask(client, "vocabulary", text="a, b").json()["error"]
        given = {"row": 0, "prompt": {"box": [50, 50, 300, 300]}, "category": "mug"}
        if found["path"]:
            assert ask(client, "accept", **given).json()["accepted"][0]["category"] == "mug"
        else:
            assert "the mask is empty" in ask(client, "accept", **given).json()["error"]
    with pytest.raises(ConfigError, match="--vocabulary needs a model that names"):
        load_demo(replace(config, vocabulary="coco"), tmp_path / "labels2", "ann")


def test_labels_of_a_run_get_answers_alone(demo, row, truth, images, tmp_path):
    """Its rows stay as they are; an image without a row is refused."""
    from ovsam_pipeline.output.folder import OutputFolder
    from ovsam_pipeline.output.parts import write_part
    from ovsam_pipeline.records import LabelRecord
    from ovsam_pipeline.ui.demo.accepted import AcceptedObjects
    from ovsam_pipeline.ui.demo.prompt import Prompt

    record, other = demo.images.get(row), demo.images.get(1 - row)
    image = demo.session.open_image(row, demo.images.read(row))
    item = demo.session.predict(image, Prompt(box=tuple(truth))).object
    out = tmp_path / "out"
    with OutputFolder(out) as folder:
        folder.write_run_file({"ovsam": "0.1.0", "fingerprint": "f", "categories": []})
        height, width = image.size_hw
        made = LabelRecord.labelled(record, width, height, (), phash=image.phash)
        write_part(folder.parts_folder, [made], "f")
    before = (out / "run.json").read_bytes()
    accepted = AcceptedObjects(out, "ann", dict)
    accepted.set_vocabulary(demo.session.vocabulary)
    accepted.accept(record, image, item, "a widget")
    [drawn] = accepted.draw(record, image)
    assert drawn["category"] == "a widget"
    elsewhere = demo.session.open_image(1 - row, demo.images.read(1 - row))
    with pytest.raises(ConfigError, match="no row of this image: label it first"):
        accepted.accept(other, elsewhere, item, "a widget")
    accepted.close()
    assert (out / "run.json").read_bytes() == before
    [stored] = iterate_rows(out)
    assert stored["objects"] == []


def test_run_of_label_takes_a_demo_over(demo, client, row, truth, images, tmp_path):
    """Its rows wait for their images to be labelled; answers stay."""
    from ovsam_pipeline.output.folder import OutputFolder

    out = tmp_path / "labels"
    ask(client, "accept", row=row, prompt={"box": truth}, category="cup")
    shutil.copytree(images.parent / "labels", out)
    with OutputFolder(out) as folder:
        with pytest.raises(ConfigError, match="what people accepted in `ovsam demo`"):
            folder.prepare("new", {"depends_on": {"task": "detect"}}, "resume")
        folder.prepare("new", {"depends_on": {"model": "nano"}}, "resume")
        done = folder.read_done("new")
        assert len(done) == 1
        identity = compute_key(demo.images.get(row).identity)
        assert done.identities.tolist() != [identity]
    assert read_answers(out)
