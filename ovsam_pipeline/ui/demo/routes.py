"""Addresses of a demo. ROW is an image; a PROMPT is as `prompt.py` reads it.

POST   api/open {row}                 → {row, width, height, seconds, accepted}; encodes it
POST   api/upload (a file's bytes)    → {row, file_name}; header X-File-Name, percent-encoded
POST   api/predict {row, …PROMPT}     → {path, bbox, area, segmentation, names, mask_score, risk,
                                        reason, seconds, model_seconds}
       with hover: true, page, sequence → {path, names: [best], seconds, model_seconds}; {skipped:
                                        true, path: "", names: []} where a newer one has come
POST   api/vocabulary {text | builtin} → {classes, names, seconds}
GET    api/names?text=                → the first names that begin with a text, or have it in them
POST   api/examples {name, row, prompt} → [{number, name, row}]; DELETE api/examples/N as well
POST   api/accept {row, prompt, category} → {accepted}
POST   api/withdraw {row, number, key}  → {accepted}
POST   api/rename {row, number, key, category} → {accepted}
POST   api/export {}                  → {annotations}
GET    thumbnail/ROW?side=256, picture/ROW

Pixels are those of the upright original; `accepted` are the accepted objects of the image, as
`ovsam_pipeline.ui.objects` draws them; names are best first, with scores. 409: the object is not
there any more.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ovsam.errors import ConfigError, ImageError, PromptError, show_value
from ovsam.text.vocabulary_files import BUILT_IN_VOCABULARIES, load_vocabulary
from ovsam_pipeline.records import ObjectRecord
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.ui.demo.accepted import ChangedError
from ovsam_pipeline.ui.demo.load import Demo
from ovsam_pipeline.ui.demo.prompt import read_prompt
from ovsam_pipeline.ui.demo.session import Found, OpenedImage, StaleError
from ovsam_pipeline.ui.demo.vocabulary import list_names, read_names
from ovsam_pipeline.ui.outlines import outline_path
from ovsam_pipeline.ui.pictures import MOST_SIDE, THUMBNAIL_SIDE, Pictures
from ovsam_pipeline.ui.security import Refusal
from ovsam_pipeline.ui.server import read_json
from ovsam_pipeline.ui.typed_name import read_typed_name

_KEEP = {"Cache-Control": "private, max-age=600"}
_MOST_PAGES = 64
_MOST_FILE_NAME = 1000
_MOST_COMPLETIONS = 20


def build_demo_routes(demo: Demo) -> tuple[Callable[[], dict[str, Any]], Sequence[BaseRoute]]:
    """Return what makes the start data of each visit, and the routes."""
    views = _Views(demo)
    posts = {
        "open": views.open_image,
        "predict": views.predict,
        "vocabulary": views.set_vocabulary,
        "examples": views.add_example,
        "accept": views.accept,
        "withdraw": views.withdraw,
        "rename": views.rename,
        "export": views.export,
    }
    routes = [
        Route(f"/api/{name}", _answer_json(view), methods=["POST"]) for name, view in posts.items()
    ]
    routes += [
        Route("/api/names", views.find_names),
        Route("/api/upload", views.upload, methods=["POST"]),
        Route("/api/examples/{number:int}", views.remove_example, methods=["DELETE"]),
        Route("/thumbnail/{row:int}", views.send_thumbnail),
        Route("/picture/{row:int}", views.send_picture),
    ]
    return views.start, routes


def _answer_json(view: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Any]:
    """Return an endpoint that gives the body of a request, a JSON object, to a view in a thread."""

    async def answer(request: Request) -> Response:
        given = await read_json(request)
        try:
            return JSONResponse(await run_in_threadpool(view, given))
        except ChangedError as error:
            raise Refusal(str(error), 409) from error

    return answer


class _Views:
    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._pictures = Pictures()
        self._hovers = Hovers()
        self._visits = itertools.count(1)

    def start(self) -> dict[str, Any]:
        """Return the start data of the page."""
        demo = self._demo
        records = enumerate(demo.images.records)
        return {
            "kind": "demo",
            "page": str(next(self._visits)),
            "images": [{"row": row, "file_name": record.file_name} for row, record in records],
            "model": dict(demo.model),
            "vocabularies": [{"name": n, "classes": count} for n, count in _count_built_in()],
            "vocabulary": {
                "text": demo.vocabulary.text,
                "classes": demo.vocabulary.describe()["classes"],
            },
            "examples": [example.to_json() for example in demo.vocabulary.examples],
            "output": str(demo.accepted.path),
        }

    def open_image(self, given: dict[str, Any]) -> dict[str, Any]:
        row = _read_int(given, "row")
        image = self._open(row)
        height, width = image.size_hw
        return {
            "row": row,
            "width": width,
            "height": height,
            "seconds": round(image.seconds, 4),
            "warning": image.warning,
            **self._draw(row, image),
        }

    def predict(self, given: dict[str, Any]) -> dict[str, Any]:
        if not given.get("hover"):
            image, found = self._find(_read_int(given, "row"), given)
            return _describe_found(image, found)
        is_wanted = self._hovers.begin(given.get("page"), given.get("sequence"))
        try:
            image, found = self._find(_read_int(given, "row"), given, is_wanted)
        except StaleError:
            return {"skipped": True, "path": "", "names": []}
        described = _describe_found(image, found)
        return {
            "path": described["path"],
            "names": described["names"][:1],
            "seconds": described["seconds"],
            "model_seconds": described["model_seconds"],
        }

    def set_vocabulary(self, given: dict[str, Any]) -> dict[str, Any]:
        vocabulary, text = read_names(given.get("text"), given.get("builtin"))
        seconds = self._demo.vocabulary.set_names(vocabulary, text)
        return self._demo.vocabulary.describe(seconds)

    async def find_names(self, request: Request) -> Response:
        vocabulary = self._demo.session.vocabulary
        names = [] if vocabulary is None else list_names(vocabulary)
        return JSONResponse(complete(request.query_params.get("text", ""), names))

    def add_example(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        row, name = _read_int(given, "row"), read_typed_name(given.get("name"), "name")
        _, item = self._find_object(row, given)
        left, top, width, height = item.bbox
        box = (left, top, left + width, top + height)
        picture = self._find_picture(row)
        self._demo.vocabulary.add_example(name, row, picture, box, item.segmentation)
        return [example.to_json() for example in self._demo.vocabulary.examples]

    async def remove_example(self, request: Request) -> Response:
        number = int(request.path_params["number"])
        await run_in_threadpool(self._demo.vocabulary.remove_example, number)
        return JSONResponse([example.to_json() for example in self._demo.vocabulary.examples])

    def accept(self, given: dict[str, Any]) -> dict[str, Any]:
        row, category = _read_int(given, "row"), read_typed_name(given.get("category"))
        image, item = self._find_object(row, given)
        self._refuse_ignored(category)
        self._demo.accepted.accept(self._demo.images.get(row), image, item, category)
        return self._draw(row, image)

    def withdraw(self, given: dict[str, Any]) -> dict[str, Any]:
        row, number, key = _read_int(given, "row"), _read_int(given, "number"), given.get("key")
        image = self._open(row)
        self._demo.accepted.withdraw(self._demo.images.get(row), image, number, str(key))
        return self._draw(row, image)

    def rename(self, given: dict[str, Any]) -> dict[str, Any]:
        row, number, key = _read_int(given, "row"), _read_int(given, "number"), given.get("key")
        category, image = read_typed_name(given.get("category")), self._open(row)
        record = self._demo.images.get(row)
        self._refuse_ignored(category)
        self._demo.accepted.rename(record, image, number, str(key), category)
        return self._draw(row, image)

    def export(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as the other views
        path = self._demo.accepted.export()
        if path is None:
            raise ConfigError("nothing was accepted yet: there is nothing to export")
        return {"annotations": str(path)}

    async def upload(self, request: Request) -> Response:
        data = await request.body()
        name = unquote(request.headers.get("x-file-name", ""))[-_MOST_FILE_NAME:]
        row = await run_in_threadpool(self._demo.images.add_upload, name, data)
        return JSONResponse({"row": row, "file_name": self._demo.images.get(row).file_name})

    async def send_thumbnail(self, request: Request) -> Response:
        try:
            side = int(request.query_params.get("side", THUMBNAIL_SIDE))
        except ValueError as error:
            raise Refusal("expected side as a number of pixels", 400) from error
        return await run_in_threadpool(self._send, request.path_params["row"], side)

    async def send_picture(self, request: Request) -> Response:
        return await run_in_threadpool(self._send, request.path_params["row"], MOST_SIDE)

    def _send(self, row: int, side: int) -> Response:
        try:
            picture = self._pictures.get(self._demo.images.get(row).path, side)
        except (ImageError, ConfigError) as error:
            raise Refusal(str(error), 404) from error
        return Response(picture.data, media_type=picture.media_type, headers=_KEEP)

    def _open(self, row: int) -> OpenedImage:
        return self._demo.session.open_image(row, self._demo.images.read(row))

    def _find(
        self, row: int, prompt: Any, is_wanted: Callable[[], bool] | None = None
    ) -> tuple[OpenedImage, Found]:
        image = self._open(row)
        read = read_prompt(prompt, image.size_hw)
        return image, self._demo.session.predict(image, read, is_wanted=is_wanted)

    def _find_object(self, row: int, given: dict[str, Any]) -> tuple[OpenedImage, ObjectRecord]:
        """Return the object at the prompt of a request: a click again gives the same mask."""
        image, found = self._find(row, given.get("prompt"))
        if found.object is None:
            raise PromptError("there is nothing at this prompt: the mask is empty; click elsewhere")
        return image, found.object

    def _draw(self, row: int, image: OpenedImage) -> dict[str, Any]:
        return {"accepted": self._demo.accepted.draw(self._demo.images.get(row), image)}

    def _refuse_ignored(self, category: str) -> None:
        vocabulary = self._demo.session.vocabulary
        classes = () if vocabulary is None else vocabulary.classes
        if any(item.rules.ignore and item.name == category for item in classes):
            raise ConfigError(
                f"{category!r} is a class that the vocabulary ignores; type another name"
            )

    def _find_picture(self, row: int) -> Path:
        """Return a file with the image of a row: its own, or a copy of one that is in no file."""
        record = self._demo.images.get(row)
        if isinstance(record.path, Path):
            return record.path
        mark = hashlib.blake2b(record.identity.encode(), digest_size=8).hexdigest()
        copy = Path(self._demo.drawings.name) / f"{mark}.png"
        if not copy.exists():
            pixels = cv2.cvtColor(decode_image(record), cv2.COLOR_RGB2BGR)
            copy.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        return copy


class Hovers:
    """Which preview of each page is the newest; older ones need not begin."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._guard = threading.Lock()
        self._arrivals = itertools.count(1)

    def begin(self, page: Any, sequence: Any) -> Callable[[], bool]:
        """Note a preview of a page; return what tells whether it is still the newest.

        `sequence` rises with each preview of a page: one that was overtaken on its way is old.
        """
        key = page if isinstance(page, str) else ""
        number = sequence if isinstance(sequence, int) and key else 0
        with self._guard:
            arrival = next(self._arrivals)
            newest = self._newest.get(key)
            if newest is None or number >= newest[0]:
                self._newest[key] = number, arrival
                self._newest.move_to_end(key)
            while len(self._newest) > _MOST_PAGES:
                self._newest.popitem(last=False)
        return lambda: self._newest.get(key) == (number, arrival)


def complete(text: str, names: Sequence[str]) -> list[str]:
    """Return the first names that begin with a text, then those that have it further on."""
    wanted = text.strip().casefold()
    found = [(name, name.casefold().find(wanted)) for name in names]
    first = (name for name, place in found if place == 0)
    others = (name for name, place in found if place > 0)
    return list(itertools.islice(itertools.chain(first, others), _MOST_COMPLETIONS))


def _describe_found(image: OpenedImage, found: Found) -> dict[str, Any]:
    """Return an answer to a prompt as the page reads it."""
    item = found.object
    tolerance = max(0.3, max(image.size_hw) / 4096)
    return {
        "path": "" if item is None else outline_path(item.segmentation, tolerance),
        "bbox": [0, 0, 0, 0] if item is None else list(item.bbox),
        "area": 0 if item is None else item.area,
        "segmentation": found.segmentation,
        "names": [name.to_json() for name in found.names],
        "mask_score": round(found.mask_score, 4),
        "risk": None if item is None else item.risk,
        "reason": None if item is None else item.reason,
        "seconds": round(found.seconds, 5),
        "model_seconds": round(found.model_seconds, 5),
    }


@cache
def _count_built_in() -> list[tuple[str, int]]:
    """Return the built-in lists and how many classes each has; the largest takes half a second."""
    return [(name, load_vocabulary(name).num_classes) for name in BUILT_IN_VOCABULARIES]


def _read_int(given: dict[str, Any], name: str) -> int:
    value = given.get(name)
    if type(value) is not int:
        raise Refusal(f"expected {name} as a whole number, got {show_value(value, 40)}", 400)
    return value
