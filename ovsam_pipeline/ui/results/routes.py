"""What `ovsam view SCORES` serves: numbers, examples and their pictures; see `data.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ovsam.errors import ImageError
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.ui.pictures import Picture
from ovsam_pipeline.ui.results.crops import read_crop, read_whole
from ovsam_pipeline.ui.results.data import EvalResults, ExamplePicture, is_results, read_results
from ovsam_pipeline.ui.security import Refusal

__all__ = ["build_results_routes", "is_results"]

Start = Mapping[str, Any]


def build_results_routes(path: Path) -> tuple[Start, Sequence[BaseRoute]]:
    """Return the start data and the routes of the page of an evaluation.

    The folder is read here, and again after it was evaluated anew.

    Raises:
        DatasetError: it is no folder of an evaluation, or a file of it is damaged.
    """
    folder = _Folder(path)

    def show_results(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return JSONResponse(folder.read().describe())

    def show_examples(request: Request) -> Response:
        return JSONResponse(_list_examples(folder.read(), request.query_params.get("of", "")))

    def show_crop(request: Request) -> Response:
        return _show(folder.read(), request, read_crop)

    def show_whole(request: Request) -> Response:
        return _show(folder.read(), request, read_whole)

    routes = [
        Route("/api/results", show_results),
        Route("/api/results/examples", show_examples),
        Route("/results/crop/{group}/{number:int}", show_crop),
        Route("/results/picture/{group}/{number:int}", show_whole),
    ]
    return {"kind": "results", "output": str(folder.read().folder)}, routes


class _Folder:
    """The folder of an evaluation, read again when another one has replaced its files."""

    def __init__(self, path: Path) -> None:
        self._metrics = path if path.name == "metrics.json" else path / "metrics.json"
        self._lock = threading.Lock()
        self._results = read_results(path)
        self._changed = self._metrics.stat().st_mtime_ns

    def read(self) -> EvalResults:
        """Return its content; the one of before while an evaluation is writing."""
        with self._lock, suppress(OSError, DatasetError):
            # metrics.json is written last.
            changed = self._metrics.stat().st_mtime_ns
            if changed != self._changed:
                self._results, self._changed = read_results(self._metrics), changed
        return self._results


def _list_examples(results: EvalResults, group: str) -> list[Any]:
    def find_crop(group: str, number: int) -> str:
        return f"results/crop/{group}/{number}"

    def find_whole(group: str, number: int) -> str:
        return f"results/picture/{group}/{number}"

    return results.list_examples(group, find_crop, find_whole)


def _show(
    results: EvalResults, request: Request, read: Callable[[ExamplePicture], Picture]
) -> Response:
    group, number = request.path_params["group"], request.path_params["number"]
    try:
        picture = read(results.find_picture(group, number))
    except (ImageError, DatasetError) as error:
        raise Refusal(str(error), 404) from error
    return Response(picture.data, media_type=picture.media_type)
