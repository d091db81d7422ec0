"""Label Studio asks: the routes of its "ML backends", with masks as brush regions.

A project that is connected asks for whole images (*Retrieve Predictions*, or each task that is
opened) and, with a "smart" label, for the object at each click, box or stroke. Classes are the
project's labels unless `--vocabulary` names others; then names are matched to its labels.

What a smart label is called decides who names the object: a label that answers can have is the
person's word; with any other ("name it") the model names it.

Source: the requests that Label Studio 1.23 sends (`label_studio/ml/api_connector.py`, Apache-2.0).
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam.errors import ConfigError, ImageError, OvsamError, PromptError, show_value
from ovsam.masks import encode_mask
from ovsam_pipeline.detectors.base import compute_fingerprint
from ovsam_pipeline.export.brush_runs import decode_brush, encode_brush
from ovsam_pipeline.export.editor_images import describe_risk, round_score
from ovsam_pipeline.export.mask_crops import MaskCrop, crop_masks
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.records import ObjectRecord
from ovsam_pipeline.ui.demo.prompt import Prompt
from ovsam_pipeline.ui.demo.session import Found
from ovsam_pipeline.ui.editors.images import AllowedImages, TaskImage
from ovsam_pipeline.ui.editors.labeling_config import LabelingConfig, read_labeling_config
from ovsam_pipeline.ui.editors.model import EditorModel, Naming
from ovsam_pipeline.ui.editors.polygons import outline_object

if TYPE_CHECKING:
    from ovsam.structures import RLE

logger = logging.getLogger(__name__)

# Label Studio waits 100 s, however many tasks it asks for; the rest it asks for again.
_PATIENCE_S = 80.0
_MOST_TASKS = 100_000
# Corners that people can move, not the stairs of pixels: at most so far from the edge of the mask.
_TOLERANCE_PIXELS = 1.0
_OTHER_NAMES = 3
_MOST_TOLD = 1000
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}")
# Under which a region has the labels of its control.
_LABELS = {"brush": "brushlabels", "polygon": "polygonlabels", "rectangle": "rectanglelabels"}

Json = dict[str, Any]
read_config = lru_cache(maxsize=64)(read_labeling_config)


@dataclass
class LabelStudioBackend:
    """Answers of the routes: the JSON of a request → that of a response.

    Every method raises OvsamError for a request that cannot be answered.
    """

    model: EditorModel
    images: AllowedImages
    _told: set[str] = field(default_factory=set)

    def set_up(self, request: Json) -> Json:
        """Check a project's configuration; its names are embedded meanwhile."""
        config = read_config(_take_text(request, "schema"))
        self._offer_token(request.get("access_token"))
        if not self.model.has_own_names:
            # Label Studio waits three seconds for this answer.
            Thread(target=self._prepare, args=(config.names,), daemon=True).start()
        return {"model_version": self._make_version(config)}

    def list_versions(self) -> Json:
        """Return the one version that there is."""
        return {"versions": [self.model.own.version]}

    def predict(self, request: Json) -> Json:
        """Return the objects of whole images, or the one that somebody pointed at."""
        config = read_config(_take_text(request, "label_config"))
        tasks = request.get("tasks")
        if not isinstance(tasks, list) or not tasks or len(tasks) > _MOST_TASKS:
            raise PromptError(f"expected tasks of Label Studio, got {show_value(tasks)}")
        naming = self.model.own if self.model.has_own_names else self.model.name_by(config.names)
        context = _get(request, "params", "context", "result")
        if isinstance(context, list) and context:
            results: list[Any] = [self._answer_prompt(config, naming, tasks[0], context)]
        else:
            results = self._label_tasks(config, naming, tasks)
        return {"results": results, "model_version": self._make_version(config)}

    def refuse_training(self, request: Json) -> Json:  # noqa: ARG002 - what the others take
        """Raise ConfigError: Label Studio's "Start Training" comes here."""
        raise ConfigError(
            "ovsam serve does not train; export the annotations as JSON, then `ovsam review OUT "
            "--import FILE` and `ovsam examples OUT --from-reviewed`, or `ovsam train labels`"
        )

    def take_event(self, request: Json) -> Json:
        """Take note of an event of a project; none changes an answer."""
        if request.get("action") == "START_TRAINING":
            self.refuse_training(request)
        return {}

    def _prepare(self, names: tuple[str, ...]) -> None:
        try:
            self.model.name_by(names)
        except OvsamError as error:
            logger.warning("Label Studio: %s", error)

    def _offer_token(self, token: Any) -> None:
        """Use the token that Label Studio sends, for itself alone, where the user gave none."""
        server = self.images.label_studio
        is_token = isinstance(token, str) and _TOKEN.fullmatch(token) is not None
        if server is not None and not server.token and is_token:
            server.token = token

    def _make_version(self, config: LabelingConfig) -> str:
        """Return what predictions are marked with; Label Studio asks again where it has changed."""
        own = self.model.own.version
        if self.model.has_own_names:
            return own
        return f"{own}-{compute_fingerprint(list(config.names))[:4]}"

    def _label_tasks(
        self, config: LabelingConfig, naming: Naming, tasks: Sequence[Any]
    ) -> list[Any]:
        """Return a prediction per task; [] for one that failed or is to be asked for again."""
        started, results = time.monotonic(), list[Any]()
        for task in tasks:
            if time.monotonic() - started > _PATIENCE_S:
                left = len(tasks) - len(results)
                logger.warning(
                    "Label Studio: %s labelled in %.0f s, %d left, as it waits no longer; retrieve "
                    "predictions again for these", count_things(len(results), "task"),
                    _PATIENCE_S, left,
                )  # fmt: skip
                return results + [[]] * left
            try:
                results.append(self._label_task(config, naming, task))
            except OvsamError as error:
                number = task.get("id") if isinstance(task, dict) else None
                logger.warning("Label Studio: task %s: %s", show_value(number), error)
                results.append([])
        return results

    def _label_task(self, config: LabelingConfig, naming: Naming, task: Any) -> Json:
        row = self.model.label(naming, self._find_image(config, task))
        assert row.width is not None
        assert row.height is not None
        size_hw, regions, risks = (row.height, row.width), list[Json](), [0.0]
        for item in row.objects:
            assert isinstance(item, ObjectRecord)
            label = config.find_label(item.category)
            if label is None:
                self._tell_once(item.category)
                continue
            risks.append(item.risk or 0.0)
            regions += _build_regions(item, label, config, size_hw, [])
        return {
            "result": regions,
            "score": round_score(1 - max(risks)),
            "model_version": self._make_version(config),
        }

    def _answer_prompt(
        self, config: LabelingConfig, naming: Naming, task: Any, context: Sequence[Any]
    ) -> Json:
        """Return the region at what somebody drew."""
        image = self._find_image(config, task)
        found = self.model.point(naming, image, lambda size_hw: read_context(context, size_hw))
        version = self._make_version(config)
        if found.object is None:
            return {"result": [], "score": 0.0, "model_version": version}
        given = _find_given_label(context)
        if given is None or not config.has_label(given):
            labels = (config.find_label(name.category) for name in found.names)
            given = next((label for label in labels if label is not None), None)
            if given is None and found.names:
                self._tell_once(found.names[0].category)
        height, width = found.object.segmentation["size"]
        notes = [_write_names(found)] if found.names else []
        regions = _build_regions(found.object, given, config, (height, width), notes)
        score = round_score(found.object.score)
        return {"result": regions, "score": score, "model_version": version}

    def _find_image(self, config: LabelingConfig, task: Any) -> TaskImage:
        address = _get(task, "data", config.data_key)
        if not isinstance(address, str) or not address:
            raise ImageError(
                f"expected the address of an image under {config.data_key!r} of the task's data, "
                f"got {show_value(address)}"
            )
        return self.images.find(address)

    def _tell_once(self, name: str) -> None:
        if name not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(name)
            logger.warning(
                "Label Studio: %s is none of the project's labels; objects of this name are left "
                "out of predictions. Add the label, or leave --vocabulary out", show_value(name),
            )  # fmt: skip


def read_context(context: Sequence[Any], size_hw: tuple[int, int]) -> Prompt:
    """Return what somebody drew on an image of `size_hw` with smart labels, as one object's prompt.

    Label Studio counts in percent of the image's width and height. Key points are clicks, on the
    object or (with Alt) beside it; of rectangles, ellipses and polygons the box of the last counts;
    brush strokes are a coarse mask.

    Raises:
        PromptError: it is none of these.
    """
    points, box, scribble = list[tuple[float, float, int]](), None, None
    for item in context:
        value = _get(item, "value")
        if not isinstance(value, dict):
            raise PromptError(f"expected a region of Label Studio, got {show_value(item)}")
        if "rle" in value:
            scribble = _read_brush(value["rle"], size_hw)
            continue
        x, y = (_read_corners(value, axis) * size / 100 for axis, size in _list_axes(size_hw))
        if len(x) == 1:
            points.append((float(x[0]), float(y[0]), int(bool(item.get("is_positive", True)))))
        else:
            box = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    return Prompt(tuple(points), box, scribble)


def _list_axes(size_hw: tuple[int, int]) -> list[tuple[int, int]]:
    return [(0, size_hw[1]), (1, size_hw[0])]


def _read_corners(value: Json, axis: int) -> np.ndarray:
    """Return where a region begins and ends along an axis, or its one point; in percent."""
    try:
        if "points" in value:
            first, *others = (float(point[axis]) for point in value["points"])
            return np.array([first, *others])
        start = float(value["xy"[axis]])
        if "radiusX" in value:
            radius = float(value[("radiusX", "radiusY")[axis]])
            return np.array([start - radius, start + radius])
        if "height" in value:  # of a key point "width" is how large it is drawn
            return np.array([start, start + float(value[("width", "height")[axis]])])
        return np.array([start])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PromptError(f"expected a region in percent, got {show_value(value)}") from error


def _read_brush(values: Any, size_hw: tuple[int, int]) -> RLE:
    try:
        packed = np.array(values, np.uint8)
        if packed.ndim != 1:
            raise ValueError("it is not a list of numbers")
        return encode_mask(decode_brush(packed, *size_hw))
    except (ValueError, OverflowError, TypeError) as error:
        raise PromptError(f"the brush stroke cannot be read: {error}") from error


def _find_given_label(context: Sequence[Any]) -> str | None:
    """Return the label that was chosen before drawing."""
    value = _get(context[-1], "value")
    for key, labels in value.items() if isinstance(value, dict) else ():
        if key.endswith("labels") and isinstance(labels, list) and labels:
            return str(labels[0])
    return None


def _build_regions(
    item: ObjectRecord,
    label: str | None,
    config: LabelingConfig,
    size_hw: tuple[int, int],
    notes: Sequence[str],
) -> list[Json]:
    """Return an object as regions: one, or of a polygon control one for each part of it."""
    height, width = size_hw
    [crop] = crop_masks([item.segmentation])
    values = _VALUES[config.shape](crop, height, width)
    texts = [text for text in (describe_risk({"risk": item.risk, "reason": item.reason}),) if text]
    region = {
        "type": _LABELS[config.shape],
        "from_name": config.control,
        "to_name": config.image,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": round_score(item.score),
        "meta": {"text": [*notes, *texts]},
    }
    labels = {_LABELS[config.shape]: [] if label is None else [label]}
    return [
        {"id": secrets.token_hex(5), **region, "value": {**value, **labels}} for value in values
    ]


def _make_brush(crop: MaskCrop, height: int, width: int) -> list[Json]:
    return [{"format": "rle", "rle": encode_brush(crop, height, width)}]


def _make_polygons(crop: MaskCrop, height: int, width: int) -> list[Json]:
    scale = 100 / np.array([width, height])
    polygons = outline_object(crop, pixels=_TOLERANCE_PIXELS)
    return [{"points": polygon * scale, "closed": True} for polygon in polygons]


def _make_rectangle(crop: MaskCrop, height: int, width: int) -> list[Json]:
    tall, wide = crop.pixels.shape
    return [
        {
            "x": crop.left / width * 100,
            "y": crop.top / height * 100,
            "width": wide / width * 100,
            "height": tall / height * 100,
            "rotation": 0,
        }
    ]


_VALUES = {"brush": _make_brush, "polygon": _make_polygons, "rectangle": _make_rectangle}


def _write_names(found: Found) -> str:
    """Return "model: mug 0.93, cup 0.04" for a person."""
    names = [f"{name.category} {name.score:.2f}" for name in found.names[: _OTHER_NAMES + 1]]
    return f"model: {', '.join(names)}"


def _take_text(request: Json, key: str) -> str:
    text = request.get(key)
    if not isinstance(text, str) or not text:
        raise ConfigError(f"expected {key}, the project's labelling configuration, as a text")
    return text


def _get(value: Any, *keys: str) -> Any:
    """Return what lies at keys of nested objects; None where something on the way is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
