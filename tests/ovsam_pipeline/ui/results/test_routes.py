import os

import cv2
import numpy as np
import pytest
from scored_folder import make_scores

testclient = pytest.importorskip("starlette.testclient")

from ovsam_pipeline.ui.results.routes import build_results_routes  # noqa: E402
from ovsam_pipeline.ui.security import Security  # noqa: E402
from ovsam_pipeline.ui.server import build_app  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    return make_scores(tmp_path / "scores")


@pytest.fixture
def client(folder):
    start, routes = build_results_routes(folder)
    security = Security.create("127.0.0.1")
    app = build_app(start, routes, security)
    address = f"http://127.0.0.1:1/{security.token}/"
    return testclient.TestClient(app, base_url=address, raise_server_exceptions=False)


def test_the_page_its_numbers_and_its_examples(client) -> None:
    assert '"kind":"results"' in client.get("").text
    assert client.get("api/results").json()["pairs"][0]["predicted"] == "cat"
    (example,) = client.get("api/results/examples?of=0").json()
    crop = client.get(example["crop"])
    assert crop.headers["content-type"] == "image/webp"
    pixels = cv2.imdecode(np.frombuffer(crop.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (66, 66, 3)
    assert client.get(example["picture"]).status_code == 200


def test_what_is_not_there_is_a_sentence(client, tmp_path) -> None:
    assert "below 1, got 7" in client.get("api/results/examples?of=7").json()["error"]
    assert client.get("results/crop/0/7").status_code == 404
    (tmp_path / "10.png").unlink()
    gone = client.get("results/crop/0/0")
    assert gone.status_code == 404
    assert gone.json()["error"]


def test_another_picture_in_the_place_of_the_measured_one_is_not_shown(client, tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "10.png"), np.zeros((50, 60, 3), np.uint8))
    told = client.get("results/crop/0/0")
    assert told.status_code == 404
    assert "has 60 x 50 pixels, and another size in the annotations" in told.json()["error"]


def test_a_new_evaluation_is_read_and_half_of_one_is_not(client, folder) -> None:
    (folder / "metrics.json").write_text("{")
    os.utime(folder / "metrics.json", ns=(1, 1))
    assert client.get("api/results").json()["metrics"]["dataset"]["name"] == "two pictures"
    make_scores(folder)
    text = (folder / "metrics.json").read_text().replace("two pictures", "again")
    (folder / "metrics.json").write_text(text)
    os.utime(folder / "metrics.json", ns=(2, 2))
    assert client.get("api/results").json()["metrics"]["dataset"]["name"] == "again"
