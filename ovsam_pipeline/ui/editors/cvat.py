"""CVAT asks, by way of `cvat_function.py` on the machine where cvat-cli runs.

`cvat-cli task auto-annotate` runs a Python file for each frame of a task; that file sends the frame
here, so that its environment needs no torch. Masks go back as CVAT has them: run lengths along the
rows of their box, then its corners.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from ovsam.errors import PromptError, show_value
from ovsam_pipeline.export.editor_images import round_score
from ovsam_pipeline.export.mask_crops import crop_masks, list_row_runs
from ovsam_pipeline.records import ObjectRecord
from ovsam_pipeline.ui.demo.prompt import read_prompt
from ovsam_pipeline.ui.editors.images import TaskImage, take_bytes
from ovsam_pipeline.ui.editors.model import EditorModel, Naming
from ovsam_pipeline.ui.editors.polygons import outline_object

FUNCTION_FILE = "cvat_function.py"
_TOLERANCE_PIXELS = 1.0

Json = dict[str, Any]


@dataclass
class CvatServer:
    """Answers to the function; each raises OvsamError for a request that cannot be answered."""

    model: EditorModel

    def list_labels(self, request: Json) -> Json:
        """Return the names that may come out: of those asked for, or the server's."""
        naming = self._name_by(request)
        return {"labels": list(naming.names), "version": naming.version}

    def detect(self, request: Json) -> Json:
        """Return all objects of an image, those that score at least "threshold"."""
        naming = self._name_by(request)
        least = request.get("threshold")
        is_polygon = bool(request.get("polygons"))
        row = self.model.label(naming, self._take_image(request))
        shapes: list[Json] = []
        for item in row.objects:
            assert isinstance(item, ObjectRecord)
            if not isinstance(least, int | float) or item.score >= least:
                shapes += _build_shapes(item, is_polygon=is_polygon)
        return {"shapes": shapes}

    def interact(self, request: Json) -> Json:
        """Return the object at points or a box; "prompt" is as `ovsam demo` has it."""
        image = self._take_image(request)
        found = self.model.point(
            self.model.own, image, lambda size_hw: read_prompt(request.get("prompt"), size_hw)
        )
        shapes = [] if found.object is None else _build_shapes(found.object, is_polygon=False)
        return {"shapes": shapes}

    def _name_by(self, request: Json) -> Naming:
        names = request.get("names") or []
        is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not is_list:
            raise PromptError(f"expected names as a list of texts, got {show_value(names)}")
        return self.model.name_by(tuple(names))

    def _take_image(self, request: Json) -> TaskImage:
        image = request.get("image")
        if not isinstance(image, str):
            raise PromptError("expected an image as base64")
        return take_bytes(image, self.model.config.max_pixels)


def read_function_file() -> str:
    """Return the Python file that cvat-cli takes as --function-file."""
    return resources.files(__package__ or "").joinpath(FUNCTION_FILE).read_text(encoding="utf-8")


def _build_shapes(item: ObjectRecord, *, is_polygon: bool) -> list[Json]:
    """Return an object as one mask, or as a polygon for each of its parts."""
    [crop] = crop_masks([item.segmentation])
    height, width = crop.pixels.shape
    facts = {"label": item.category, "score": round_score(item.score)}
    if not is_polygon:
        corners = (crop.left, crop.top, crop.left + width - 1, crop.top + height - 1)
        runs = [*list_row_runs(crop.pixels).tolist(), *map(int, corners)]
        return [{"type": "mask", "points": runs, **facts}]
    polygons = outline_object(crop, pixels=_TOLERANCE_PIXELS)
    return [
        {"type": "polygon", "points": polygon.ravel().tolist(), **facts} for polygon in polygons
    ]
