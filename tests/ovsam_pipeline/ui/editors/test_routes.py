"""The routes of the editors behind the guard of the server."""

import base64
import io

import numpy as np
import pytest
from fake_editor_model import FakeEditorModel, make_masked
from PIL import Image
from starlette.testclient import TestClient

from ovsam_pipeline.ui.editors.cvat import read_function_file
from ovsam_pipeline.ui.editors.images import AllowedImages
from ovsam_pipeline.ui.editors.routes import PATHS, build_routes
from ovsam_pipeline.ui.security import MEGABYTE, Security
from ovsam_pipeline.ui.server import build_app

TOKEN = "secret-secret-secret"


def make_mask():
    mask = np.zeros((40, 60), bool)
    mask[5:15, 10:30] = True
    mask[8:10, 12:14] = False
    return mask


@pytest.fixture
def client():
    model = FakeEditorModel([make_masked(make_mask(), score=0.5)])
    security = Security(TOKEN, max_json_bytes=2 * MEGABYTE)
    app = build_app({"kind": "editors"}, build_routes(model, AllowedImages()), security)
    return TestClient(app, base_url="http://127.0.0.1:9090", follow_redirects=False)


@pytest.fixture
def image():
    stream = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 9, np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_every_editor_is_healthy(client):
    for path in PATHS[:2]:
        assert client.get(f"/{TOKEN}/{path}/health").status_code == 200
    assert client.get(f"/{TOKEN}/label-studio/health").json()["status"] == "UP"
    assert client.get(f"/{TOKEN}/x-anylabeling/v1/models").json()["success"] is True
    assert client.get(f"/{TOKEN}/x-anylabeling/v1/models/ovsam-name/info").status_code == 200
    assert client.get(f"/{TOKEN}/x-anylabeling/v1/models/nope/info").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": "Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode()},
        {"Token": TOKEN},
    ],
)
def test_token_may_come_in_the_headers_that_editors_have(client, headers):
    assert client.get("/label-studio/health", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Token": "secret"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"Authorization": "Basic " + base64.b64encode(TOKEN.encode()).decode()},
        {"Authorization": f"Digest {TOKEN}"},
    ],
)
def test_no_route_answers_without_the_token(client, headers):
    for path in ("label-studio/health", "x-anylabeling/v1/models", "cvat/function.py"):
        assert client.get(f"/{path}", headers=headers).status_code == 403
    for path in ("label-studio/predict", "x-anylabeling/v1/predict", "cvat/detect"):
        assert client.post(f"/{path}", headers=headers, json={}).status_code == 403


@pytest.mark.parametrize(
    "path", ["label-studio/predict", "label-studio/setup", "label-studio/train", "cvat/detect"]
)
def test_bad_requests_are_sentences(client, path, caplog):
    for body in (b"{}", b"[1]", b"{", b"\xff", b""):
        response = client.post(
            f"/{TOKEN}/{path}", content=body, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 400
        assert response.json()["error"]
    assert "Label Studio: " in caplog.text or "CVAT: " in caplog.text


def test_x_anylabeling_has_its_own_form_of_errors(client):
    response = client.post(f"/{TOKEN}/x-anylabeling/v1/predict", json={})
    assert response.status_code == 400
    assert response.json() == {
        "success": False,
        "error": {
            "code": "REFUSED",
            "message": "expected a request with model and image, as texts",
        },
    }


def test_images_up_to_the_limit_are_taken(client, image):
    body = {"image": image, "params": {"x": "a" * MEGABYTE}, "model": "ovsam-label"}
    assert client.post(f"/{TOKEN}/x-anylabeling/v1/predict", json=body).status_code == 200
    body["params"]["x"] *= 3
    response = client.post(f"/{TOKEN}/x-anylabeling/v1/predict", json=body)
    assert response.status_code == 413
    assert "at most 2 MB" in response.json()["error"]


def test_cvat_gets_masks_in_its_own_run_lengths(client, image):
    found = client.post(f"/{TOKEN}/cvat/detect", json={"image": image, "names": ["mug"]}).json()
    [shape] = found["shapes"]
    *runs, left, top, right, bottom = shape["points"]
    assert (left, top, right, bottom) == (10, 5, 29, 14)
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(10, 20)
    assert (inside == make_mask()[5:15, 10:30]).all()
    assert (shape["type"], shape["label"], shape["score"]) == ("mask", "mug", 0.5)


def test_cvat_gets_polygons_and_scores_as_it_asks(client, image):
    body = {"image": image, "polygons": True, "threshold": 0.5}
    [shape] = client.post(f"/{TOKEN}/cvat/detect", json=body).json()["shapes"]
    assert shape["type"] == "polygon"
    assert len(shape["points"]) >= 8
    body["threshold"] = 0.625
    assert client.post(f"/{TOKEN}/cvat/detect", json=body).json()["shapes"] == []


def test_cvat_gets_the_object_at_a_click(client, image):
    body = {"image": image, "prompt": {"points": [[12, 7, 1]], "box": None}}
    found = client.post(f"/{TOKEN}/cvat/interact", json=body).json()
    assert found["shapes"][0]["type"] == "mask"
    body["prompt"] = {"points": []}
    response = client.post(f"/{TOKEN}/cvat/interact", json=body)
    assert response.status_code == 400


def test_cvat_asks_which_labels_there_are(client):
    url = f"/{TOKEN}/cvat/labels"
    assert client.post(url, json={}).json()["labels"] == ["mug", "cup"]
    assert client.post(url, json={"names": ["a", "b"]}).json()["labels"] == ["a", "b"]
    assert client.post(url, json={"names": "a"}).status_code == 400
    assert client.post(url, json={"names": [1]}).status_code == 400


def test_function_file_is_python_and_needs_no_package_of_ours(client):
    text = client.get(f"/{TOKEN}/cvat/function.py").text
    assert text == read_function_file()
    compile(text, "function.py", "exec")
    assert "import ovsam" not in text
    assert "from ovsam" not in text
