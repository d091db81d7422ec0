"""The editors that `ovsam serve` answers, themselves: each asks for objects and prints what it got.

The server runs here, on the objects of a fake model; the masks must arrive as they are.
"""

import asyncio
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from fake_editor_model import FakeEditorModel, make_masked
from PIL import Image

from ovsam_pipeline.ui.editors.cvat import read_function_file
from ovsam_pipeline.ui.editors.images import allow_images
from ovsam_pipeline.ui.editors.routes import build_routes, describe_start
from ovsam_pipeline.ui.editors.web_origin import WebOrigin
from ovsam_pipeline.ui.security import MEGABYTE, Security
from ovsam_pipeline.ui.server import build_app, make_config

HEIGHT, WIDTH = 60, 90
TOKEN = "secret-secret-secret"

_CVAT = """
import json, logging, sys
from types import SimpleNamespace as Box
from pathlib import Path
import cvat_sdk.auto_annotation as cvataa
import cvat_sdk.auto_annotation.driver as driver
import cvat_sdk.models as models
from cvat_cli._internal.agent_driver_interaction import AgentInteractionFunctionDriver
from cvat_cli._internal.agent_driver_interaction import _InteractionPromptsImpl
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk.masks import decode_mask
from PIL import Image
server, file, picture, width, height = sys.argv[1:]
image = Image.open(picture)
labels = [
    models.Label(id=70, name="cup", type="any", attributes=[], sublabels=[]),
    models.Label(id=71, name="mug", type="any", attributes=[], sublabels=[]),
]
sample = Box(frame_name="a.png", frame_index=4, media=Box(load_image=lambda: image))
driver.TaskDataset = lambda *a, **k: Box(labels=labels, samples=[sample])
sent = []
api = Box(update_annotations=lambda task, labeled_data_request: sent.append(labeled_data_request))
client = Box(logger=logging.getLogger(), tasks=Box(api=api))
def annotate(**options):
    parameters = {"server": server, **options.pop("parameters", {})}
    function = FunctionLoader(None, Path(file), parameters).load()
    cvataa.annotate_task(client, 1, function, clear_existing=True, **options)
    return sent[-1].shapes
def decode(points):
    return decode_mask(points, image_width=int(width), image_height=int(height)).sum()
[mask] = annotate(allow_unmatched_labels=True)
[polygon] = annotate(conv_mask_to_poly=True, parameters={"names": "mug, cup"})
none = annotate(conf_threshold=0.9)
click = FunctionLoader(None, Path(file), {"server": server, "kind": "interaction"}).load()
fields = AgentInteractionFunctionDriver.get_remote_function_fields(click.spec)
prompts = _InteractionPromptsImpl(
    pos_points=((20, 20),), neg_points=(), bounding_box=((5, 5), (50, 50))
)
[shape] = click.detect(None, click.preprocess_image(None, image), prompts)
print(json.dumps({
    "label": mask.label_id, "frame": mask.frame, "area": int(decode(mask.points)),
    "score": mask.score,
    "polygon": [polygon.type.value, polygon.label_id], "none": len(none),
    "click": int(decode(shape.points)), "fields": sorted(fields),
}))
"""

_X_ANYLABELING = """
import json, os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from unittest.mock import patch
from PyQt6.QtGui import QImage
from PyQt6.QtWidgets import QApplication
application = QApplication([])
from anylabeling.services.auto_labeling.remote_server import RemoteServer
address, picture = sys.argv[1:]
settings = {"remote_server_settings": {"server_url": address, "api_key": ""}}
told = []
with patch("anylabeling.services.auto_labeling.model.get_config", return_value=settings):
    model = RemoteServer(
        {"type": "remote_server", "display_name": "Remote-Server", **settings}, told.append
    )
found = {"models": list(model.get_available_models())}
def ask(name, *marks, text=None):
    model.set_model_id(name)
    model.set_auto_labeling_marks(list(marks))
    result = model.predict_shapes(QImage(picture), picture, text_prompt=text)
    return [
        result.replace,
        [[s.label, s.shape_type, [[p.x(), p.y()] for p in s.points]] for s in result.shapes],
    ]
point = {"type": "point", "data": [20, 20], "label": 1}
found["name"] = ask("ovsam-name", point)
box = {"type": "rectangle", "data": [50, 40, 5, 5], "label": 1}
found["outline"] = ask("ovsam-outline", point, box)
found["whole"] = ask("ovsam-label")
found["text"] = ask("ovsam-label", text="tea pot. mug.")
found["none"] = ask("ovsam-name")
assert not told, told
ask("nope")
found["told"] = len(told)
print(json.dumps(found))
"""

_LABEL_STUDIO = """
import json, os, subprocess, sys, tempfile, time
import requests
import numpy as np
from label_studio_sdk.converter.brush import decode_rle
address, password, picture, port, config = sys.argv[1:]
url, token = f"http://127.0.0.1:{port}", "abcdef0123456789abcdef0123456789abcdef01"
def call(method, path, **content):
    answer = requests.request(
        method, url + path, headers={"Authorization": f"Token {token}"}, timeout=120, **content
    )
    assert answer.ok, answer.text[:2000]
    return answer.json()
def measure(regions):
    return [
        [r["value"]["brushlabels"], int((decode_rle(r["value"]["rle"])[3::4] > 128).sum())]
        for r in regions
    ]
def work():
    project = call("POST", "/api/projects", json={"title": "try", "label_config": config})["id"]
    with open(picture, "rb") as file:
        call("POST", f"/api/projects/{project}/import", files={"file": file})
    body = {"project": project, "url": address, "title": "ovsam", "is_interactive": True}
    login = {"auth_method": "BASIC_AUTH", "basic_auth_user": "any", "basic_auth_pass": password}
    backend = call("POST", "/api/ml", json={**body, **login})
    [task] = call("GET", f"/api/tasks?project={project}")["tasks"]
    action = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
    call("POST", action, json={"selectedItems": {"all": True, "excluded": []}})
    [prediction] = call("GET", f"/api/tasks/{task['id']}")["predictions"]
    click = {
        "id": "a", "from_name": "click", "to_name": "image", "type": "keypointlabels",
        "original_width": 90, "original_height": 60, "image_rotation": 0, "is_positive": True,
        "value": {"x": 30, "y": 40, "width": 0.5, "keypointlabels": ["name it"]},
    }
    asked = {"task": task["id"], "context": {"result": [click]}}
    found = call("POST", f"/api/ml/{backend['id']}/interactive-annotating", json=asked)["data"]
    return {
        "state": backend["state"],
        "versions": [backend["model_version"], prediction["model_version"], found["model_version"]],
        "whole": measure(prediction["result"]),
        "click": measure(found["result"]),
    }
with tempfile.TemporaryDirectory() as folder:
    studio = subprocess.Popen(
        [sys.executable, "-m", "label_studio.server", "start", "--init", "--no-browser",
         "--port", port, "--username", "a@example.com", "--password", "password1234",
         "--user-token", token],
        env={**os.environ, "LABEL_STUDIO_BASE_DATA_DIR": folder, "LATEST_VERSION_CHECK": "false",
             "COLLECT_ANALYTICS": "false", "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
             # Else it asks no server on this machine: docs/serve.md.
             "USE_DEFAULT_BANNED_SUBNETS": "false"},
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )
    try:
        while True:  # migrations take a minute, and more on a busy machine
            time.sleep(1)
            assert studio.poll() is None
            try:
                requests.get(url + "/health", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                pass
        print(json.dumps(work()))
    finally:
        studio.terminate()
        studio.wait(30)
"""
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="mug"/><Label value="cup"/></BrushLabels>
  <KeyPointLabels name="click" toName="image" smart="true"><Label value="name it"/></KeyPointLabels>
</View>"""


def make_mask():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:40, 15:60] = True
    mask[20:25, 30:35] = False
    return mask


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)).save(path)
    return path


@contextmanager
def run_server(images=None):
    """Yield the address, with its token, of a server that has one object on every image."""
    model = FakeEditorModel([make_masked(make_mask(), score=0.5)])
    routes = build_routes(model, images or allow_images([], None))
    security = Security(TOKEN, max_json_bytes=10 * MEGABYTE)
    config = make_config(build_app(describe_start(model), routes, security))
    config.port = 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            thread.join(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.consumers
@pytest.mark.timeout(900)
def test_cvat_runs_the_function_file(tmp_path, read_with, picture):
    file = tmp_path / "ovsam_cvat.py"
    file.write_text(read_function_file())
    with run_server() as url:
        address = f"{url}/{TOKEN}/cvat"
        found = read_with("cvat-cli numpy", _CVAT, address, file, picture, WIDTH, HEIGHT)
    area = int(make_mask().sum())
    assert found == {
        "label": 71,
        "frame": 4,
        "area": area,
        "score": 0.5,
        "polygon": ["polygon", 71],
        "none": 0,
        "click": area,
        "fields": ["min_neg_points", "min_pos_points", "startswith_box_optional"],
    }


@pytest.mark.consumers
@pytest.mark.timeout(1800)
def test_x_anylabeling_gets_shapes(read_with, picture):
    with run_server() as url:
        address = f"{url}/{TOKEN}/x-anylabeling"
        found = read_with("x-anylabeling-cvhub", _X_ANYLABELING, address, picture)
    assert found["models"] == ["ovsam-name", "ovsam-outline", "ovsam-label"]
    replaces, [[label, kind, points]] = found["name"]
    assert (replaces, label, kind) == (False, "mug", "polygon")
    assert np.min(points, axis=0).tolist() == [15, 10]
    assert np.max(points, axis=0).tolist() == [60, 40]
    assert found["outline"][1][0][0] == "AUTOLABEL_OBJECT"
    assert found["whole"][1] == found["name"][1] == found["text"][1]
    assert found["none"] == [False, []]
    assert found["told"] == 1


@pytest.mark.consumers
@pytest.mark.timeout(1800)
def test_label_studio_gets_predictions_and_answers_to_clicks(read_with, picture, free_port):
    images = allow_images([], WebOrigin(f"http://127.0.0.1:{free_port}"), environment={})
    with run_server(images) as url:
        arguments = (f"{url}/label-studio", TOKEN, picture, free_port, CONFIG)
        found = read_with("label-studio", _LABEL_STUDIO, *arguments, is_alone=True)
    area = int(make_mask().sum())
    assert found["state"] == "CO"
    assert len(set(found["versions"])) == 1
    assert found["whole"] == found["click"] == [[["mug"], area]]


@pytest.fixture
def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
