"""The routes of all editors: JSON in, JSON out, in threads; one line on stderr for what failed.

Editors show little of an error, most its status alone: the sentence is also a note of the command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from ovsam.errors import OvsamError
from ovsam_pipeline.ui.editors.cvat import CvatServer, read_function_file
from ovsam_pipeline.ui.editors.images import AllowedImages
from ovsam_pipeline.ui.editors.label_studio import LabelStudioBackend
from ovsam_pipeline.ui.editors.model import EditorModel
from ovsam_pipeline.ui.editors.x_anylabeling import XAnyLabelingServer, describe_failure

logger = logging.getLogger(__name__)

Json = dict[str, Any]
Describe = Callable[[str], Json]
PATHS = ("label-studio", "x-anylabeling", "cvat")
"""Below the address of the server, what each editor is given."""

_EDITORS = (
    ("Label Studio", "Settings > Model > Connect Model: as Backend URL, interactive."),
    ("X-AnyLabeling", "In the list of models CVHub > Remote-Server: as Server URL."),
    ("CVAT", "For cvat-cli task auto-annotate, as the variable OVSAM_SERVER."),
)


def build_routes(model: EditorModel, images: AllowedImages) -> list[BaseRoute]:
    """Return the routes of the three editors, each below its own path."""
    return [
        Mount("/label-studio", routes=_list_label_studio(LabelStudioBackend(model, images))),
        Mount("/x-anylabeling", routes=_list_x_anylabeling(XAnyLabelingServer(model))),
        Mount("/cvat", routes=_list_cvat(CvatServer(model))),
    ]


def describe_start(model: EditorModel) -> Json:
    """Return what the page of the server begins with: the address of each editor, and for what."""
    editors = [
        {"name": name, "path": path, "where": where}
        for (name, where), path in zip(_EDITORS, PATHS, strict=True)
    ]
    return {"kind": "editors", "labels": model.own.labeller.facts.describe(), "editors": editors}


def _list_label_studio(backend: LabelStudioBackend) -> list[BaseRoute]:
    def post(path: str, answer: Callable[[Json], Json]) -> Route:
        return _post(path, answer, "Label Studio", _describe_error)

    def tell_health(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return _write({"status": "UP", "model_class": "ovsam"})

    def list_versions(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return _write(backend.list_versions())

    return [
        Route("/health", tell_health),
        Route("/versions", list_versions),
        post("/setup", backend.set_up),
        post("/predict", backend.predict),
        post("/webhook", backend.take_event),
        post("/train", backend.refuse_training),
    ]


def _list_x_anylabeling(server: XAnyLabelingServer) -> list[BaseRoute]:
    def tell_health(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return _write(server.tell_health())

    def list_models(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return _write(server.list_models())

    def describe_model(request: Request) -> Response:
        try:
            return _write(server.describe_model(request.path_params["model_id"]))
        except OvsamError as error:
            return _write(describe_failure(str(error)), 404)

    return [
        Route("/health", tell_health),
        Route("/v1/models", list_models),
        Route("/v1/models/{model_id}/info", describe_model),
        _post("/v1/predict", server.predict, "X-AnyLabeling", describe_failure),
    ]


def _list_cvat(server: CvatServer) -> list[BaseRoute]:
    def show_function(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return PlainTextResponse(read_function_file())

    return [
        Route("/function.py", show_function),
        _post("/labels", server.list_labels, "CVAT", _describe_error),
        _post("/detect", server.detect, "CVAT", _describe_error),
        _post("/interact", server.interact, "CVAT", _describe_error),
    ]


def _post(path: str, answer: Callable[[Json], Json], editor: str, describe: Describe) -> Route:
    """Return a route that answers a JSON object with one; `describe` writes an error's sentence."""

    def work(body: bytes) -> Response:
        try:
            given = orjson.loads(body or b"{}")
            if not isinstance(given, dict):
                return _write(describe("expected a JSON object"), 400)
            return _write(answer(given))
        except orjson.JSONDecodeError as error:
            return _write(describe(f"expected JSON: {error}"), 400)
        except OvsamError as error:
            logger.warning("%s: %s", editor, error)
            return _write(describe(str(error)), 400)

    async def take(request: Request) -> Response:
        return await run_in_threadpool(work, await request.body())

    return Route(path, take, methods=["POST"])


def _write(content: Json, status: int = 200) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, media_type="application/json")


def _describe_error(sentence: str) -> Json:
    return {"error": sentence}
