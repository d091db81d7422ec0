"""Addresses of a gallery: the columns at once, rows in slices, pictures one by one, answers.

GET  api/index                         see `index.py`
GET  api/names                         file names of all rows, as JSON
GET  api/images?rows=4,8&side=1024     rows as the page draws them; outlines fit that side
GET  api/refresh                       look for new rows and answers: {"changed", "images", …}
GET  thumbnail/ROW?side=256            WebP
GET  picture/ROW                       at most 2,048 pixels
POST api/answers                       see `answers.py`; answers with the image as it is now
POST api/withdraw                      takes an answer back; answers with the image as it is now
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ovsam.errors import ConfigError, ImageError
from ovsam_pipeline.ui.gallery.answers import ChangedError, Reviewer
from ovsam_pipeline.ui.gallery.compare import Comparison
from ovsam_pipeline.ui.gallery.opened import DRAWN_SIDE, OpenedOutput
from ovsam_pipeline.ui.pictures import MOST_SIDE, THUMBNAIL_SIDE
from ovsam_pipeline.ui.security import Refusal
from ovsam_pipeline.ui.server import read_json

_MOST_ROWS = 50
_BYTES = "application/octet-stream"
_CLOSED_REQUEST = 499
# A picture is asked for again whenever its card scrolls into view.
_KEEP = {"Cache-Control": "private, max-age=600"}

Start = Callable[[], Mapping[str, Any]]


def build_gallery_routes(
    opened: OpenedOutput, reviewer: Reviewer | None, comparison: Comparison | None = None
) -> tuple[Start, Sequence[BaseRoute]]:
    """Return the start data, made anew for each visit, and the routes of a gallery.

    `reviewer` takes answers; None: nobody can answer.
    """
    gallery = _Gallery(opened, reviewer, comparison)
    routes = [
        Route("/api/index", gallery.send_index),
        Route("/api/names", gallery.send_names),
        Route("/api/images", gallery.send_images),
        Route("/api/refresh", gallery.refresh),
        Route("/thumbnail/{row:int}", gallery.send_thumbnail),
        Route("/picture/{row:int}", gallery.send_picture),
    ]
    if reviewer is not None:
        routes.append(Route("/api/answers", gallery.take_answer, methods=["POST"]))
        routes.append(Route("/api/withdraw", gallery.withdraw_answer, methods=["POST"]))
    return gallery.start, routes


class _Gallery:
    def __init__(
        self, opened: OpenedOutput, reviewer: Reviewer | None, comparison: Comparison | None
    ) -> None:
        self._opened, self._reviewer, self._comparison = opened, reviewer, comparison
        # Requests for pictures that wait here can still be given up, unlike those in a thread.
        self._turns = asyncio.Semaphore(2 * (os.cpu_count() or 1))

    def start(self) -> dict[str, Any]:
        """Return the start data: rows and answers that came meanwhile are in it."""
        self._opened.refresh()
        comparison = self._comparison
        return {
            "kind": "gallery",
            **self._opened.describe(),
            "can_answer": self._reviewer is not None,
            "compare": None if comparison is None else comparison.describe(),
            "results": False,
        }

    def send_index(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        difference = None if self._comparison is None else self._comparison.measure()
        return Response(self._opened.encode_index(difference=difference), media_type=_BYTES)

    def send_names(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        return _to_json(self._opened.snapshot.list_names())

    def send_images(self, request: Request) -> Response:
        rows, side = _read_rows(request), _read_side(request, DRAWN_SIDE)
        try:
            images = self._opened.read_images(rows, side)
            if self._comparison is not None:
                self._comparison.add_others(images, side)
        except IndexError as error:
            raise _refuse_row(error) from error
        return _to_json(images)

    def refresh(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        changed = self._opened.refresh()
        return _to_json({"changed": changed, **self._opened.count()})

    async def send_thumbnail(self, request: Request) -> Response:
        return await self._send_picture(request, _read_side(request, THUMBNAIL_SIDE))

    async def send_picture(self, request: Request) -> Response:
        return await self._send_picture(request, MOST_SIDE)

    async def _send_picture(self, request: Request, side: int) -> Response:
        async with self._turns:
            if await request.is_disconnected():
                return Response(status_code=_CLOSED_REQUEST)
            try:
                row = request.path_params["row"]
                picture = await run_in_threadpool(self._opened.get_picture, row, side)
            except IndexError as error:
                raise _refuse_row(error) from error
            except ImageError as error:
                raise Refusal(str(error), 404) from error
        return Response(picture.data, media_type=picture.media_type, headers=_KEEP)

    async def take_answer(self, request: Request) -> Response:
        assert self._reviewer is not None
        return await _answer(request, self._reviewer.take)

    async def withdraw_answer(self, request: Request) -> Response:
        assert self._reviewer is not None
        return await _answer(request, self._reviewer.withdraw)


async def _answer(request: Request, take: Callable[[Any], dict[str, Any]]) -> Response:
    said = await read_json(request)
    try:
        return _to_json(await run_in_threadpool(take, said))
    except ChangedError as error:
        raise Refusal(str(error), 409) from error


def _to_json(values: Any) -> Response:
    """Answer in ASCII: names may hold halves of characters, which UTF-8 cannot."""
    content = json.dumps(values, allow_nan=False, separators=(",", ":"))
    return Response(content, media_type="application/json")


def _read_rows(request: Request) -> list[int]:
    text = request.query_params.get("rows", "")
    parts = text.split(",") if text else []
    if not all(part.isascii() and part.isdecimal() and len(part) < 16 for part in parts):
        raise ConfigError("expected rows as numbers with commas between, such as rows=4,8")
    if len(parts) > _MOST_ROWS:
        raise ConfigError(f"expected at most {_MOST_ROWS} rows in one request, got {len(parts)}")
    return [int(part) for part in parts]


def _read_side(request: Request, default: int) -> int:
    text = request.query_params.get("side", str(default))
    is_number = text.isascii() and text.isdecimal() and len(text) < 6
    if not is_number or not 1 <= int(text) <= MOST_SIDE:
        raise ConfigError(f"expected side as 1 to {MOST_SIDE} pixels")
    return int(text)


def _refuse_row(error: IndexError) -> Refusal:
    return Refusal(f"there is no row {error} in this output; reload the page", 404)
