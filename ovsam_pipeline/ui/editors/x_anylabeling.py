"""X-AnyLabeling asks: the routes of its "Remote-Server" models, with masks as polygons.

Three models to choose from: each click or box becomes a named object; several clicks refine one
outline that the person names; and all objects of the image are labelled as `ovsam label` does.

Its polygons have no holes: a hole hangs on its outline by a cut of no width. Parts of one object
are polygons of one group.

Source: docs/openapi.json and docs/source/en of X-AnyLabeling-Server 0.0.x, and what X-AnyLabeling
4.2 sends; both are AGPL or GPL: facts were taken, no lines.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ovsam.errors import ConfigError, PromptError, show_value
from ovsam.text.class_list import fold_name
from ovsam_pipeline.export.editor_images import describe_risk, round_score
from ovsam_pipeline.export.mask_crops import crop_masks
from ovsam_pipeline.records import ObjectRecord
from ovsam_pipeline.ui.demo.prompt import Prompt
from ovsam_pipeline.ui.demo.session import Found
from ovsam_pipeline.ui.editors.images import TaskImage, take_bytes
from ovsam_pipeline.ui.editors.model import EditorModel
from ovsam_pipeline.ui.editors.polygons import outline_object

NAME, OUTLINE, WHOLE = "ovsam-name", "ovsam-outline", "ovsam-label"
UNNAMED = "AUTOLABEL_OBJECT"
"""The label of what the editor replaces at the next click, and asks a name for at the end."""

_CLICKS = ("button_add_point", "button_add_rect", "button_clear")
_FINENESS = 0.001
_MOST_FINENESS = 0.1
# More classes make a list that nobody searches.
_MOST_LISTED = 1000
_OTHER_NAMES = 3
_GROUPS = 1_000_000

Json = dict[str, Any]


@dataclass
class XAnyLabelingServer:
    """Answers of the routes; each raises OvsamError for a request that cannot be answered."""

    model: EditorModel

    def tell_health(self) -> Json:
        """Return that the models are loaded."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {"status": "healthy", "models_loaded": len(self._list_models()), "timestamp": now}

    def list_models(self) -> Json:
        """Return every model with the controls that the editor shows for it."""
        return _succeed(self._list_models())

    def describe_model(self, model_id: str) -> Json:
        """Return one of them."""
        return _succeed({"model_id": model_id, **self._get_model(model_id)})

    def predict(self, request: Json) -> Json:
        """Return shapes for an image and what was drawn on it."""
        model_id, encoded = request.get("model"), request.get("image")
        if not isinstance(model_id, str) or not isinstance(encoded, str):
            raise PromptError("expected a request with model and image, as texts")
        self._get_model(model_id)
        params = request.get("params") or {}
        if not isinstance(params, dict):
            raise PromptError(f"expected params as an object, got {show_value(params)}")
        image = take_bytes(encoded, self.model.config.max_pixels)
        if model_id == WHOLE:
            return _succeed({"shapes": self._label(image, params), "description": ""})
        # The shapes that are there stay: the editor replaces what has no name yet by itself.
        shapes = self._point(model_id, image, params)
        return _succeed({"shapes": shapes, "description": "", "replace": False})

    def _list_models(self) -> dict[str, Json]:
        name = self.model.own.labeller.facts.provenance["model"]["name"]
        clicks = [*_CLICKS, "mask_fineness_slider", "mask_fineness_value_label"]
        models = {
            OUTLINE: {
                "display_name": f"ovsam {name}: outline by clicks, you name it",
                "batch_processing_mode": None,
                "widgets": _list_widgets("button_remove_point", *clicks, "button_finish_object"),
            },
            WHOLE: self._describe_whole(name),
        }
        if not self.model.own.session.vocabulary:
            return models
        named = {
            "display_name": f"ovsam {name}: a named object per click or box",
            "batch_processing_mode": None,
            "widgets": _list_widgets(*clicks),
        }
        return {NAME: named, **models}

    def _describe_whole(self, name: str) -> Json:
        names = list(self.model.own.names)
        has_list = len(names) <= _MOST_LISTED
        widgets = _list_widgets(
            *("button_run", "input_conf"),
            *(("button_classes_filter",) if has_list else ()),
            *("edit_text", "button_send"),
            *("mask_fineness_slider", "mask_fineness_value_label"),
        )
        texts = "names to look for, with commas between"
        for widget in widgets:
            if widget["name"] == "edit_text":
                widget["placeholder"] = texts
        return {
            "display_name": f"ovsam {name}: all objects of the image",
            "batch_processing_mode": "default",
            "widgets": [
                *widgets,
                {"name": "edit_conf", "value": self.model.config.min_score},
                {"name": "toggle_preserve_existing_annotations", "value": False},
            ],
            **({"classes": names} if has_list else {}),
        }

    def _get_model(self, model_id: str) -> Json:
        models = self._list_models()
        if model_id not in models:
            raise ConfigError(f"expected a model out of {', '.join(models)}, got {model_id[:60]!r}")
        return models[model_id]

    def _label(self, image: TaskImage, params: Json) -> list[Json]:
        texts = _split_names(params.get("text_prompt"))
        naming = self.model.name_by(texts) if texts else self.model.own
        row = self.model.label(naming, image)
        least = _read_share(params.get("conf_threshold"), 0.0, 1.0)
        wanted = {fold_name(str(name)) for name in _take_list(params, "filter_classes")}
        shapes: list[Json] = []
        for item in row.objects:
            assert isinstance(item, ObjectRecord)
            if item.score >= least and (not wanted or fold_name(item.category) in wanted):
                shapes += _build_shapes(item, item.category, "", params)
        return shapes

    def _point(self, model_id: str, image: TaskImage, params: Json) -> list[Json]:
        marks = _take_list(params, "marks")
        # The editor keeps marks until they are cleared: with names, each is an object of its own.
        prompt = read_marks(marks[-1:] if model_id == NAME else marks)
        if prompt is None:
            return []
        found = self.model.point(self.model.own, image, lambda _: prompt)
        if found.object is None:
            return []
        label = UNNAMED
        if model_id == NAME and found.names:
            label = found.names[0].category
        return _build_shapes(found.object, label, _write_names(found), params)


def read_marks(marks: Sequence[Any]) -> Prompt | None:
    """Return the editor's points and rectangles as a prompt; None where nothing is on an object.

    Raises:
        PromptError: they are something else.
    """
    points, box = list[tuple[float, float, int]](), None
    for mark in marks:
        try:
            numbers = [float(number) for number in mark["data"]]
            is_on = bool(mark.get("label", 1))
            if mark["type"] == "point":
                x, y = numbers
                points.append((x, y, int(is_on)))
            elif mark["type"] == "rectangle" and is_on:
                left, right = sorted(numbers[::2])
                top, bottom = sorted(numbers[1::2])
                box = (left, top, right, bottom)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PromptError(
                f"expected a mark as a point or rectangle with data, got {show_value(mark)}"
            ) from error
    if box is None and not any(is_on for _, _, is_on in points):
        return None
    return Prompt(tuple(points), box)


def _build_shapes(item: ObjectRecord, label: str, note: str, params: Json) -> list[Json]:
    """Return a polygon for each part of an object."""
    [crop] = crop_masks([item.segmentation])
    share = _read_share(params.get("epsilon_factor"), _FINENESS, _MOST_FINENESS)
    polygons = outline_object(crop, share=share)
    group = zlib.crc32(item.segmentation["counts"].encode()) % _GROUPS + 1
    texts = (note, describe_risk({"risk": item.risk, "reason": item.reason}))
    return [
        {
            "label": label,
            "shape_type": "polygon",
            "points": polygon.tolist(),
            "score": round_score(min(max(item.score, 0.0), 1.0)),
            "attributes": {},
            "description": "; ".join(text for text in texts if text),
            "difficult": False,
            "direction": 0,
            "flags": {},
            "group_id": group if len(polygons) > 1 else None,
            "kie_linking": [],
        }
        for polygon in polygons
    ]


def _list_widgets(*names: str) -> list[Json]:
    values = {"mask_fineness_slider": 10}
    return [{"name": name, "value": values.get(name)} for name in names]


def _take_list(params: Json, key: str) -> list[Any]:
    value = params.get(key) or []
    if not isinstance(value, list):
        raise PromptError(f"expected {key} as a list, got {show_value(value)}")
    return value


def _split_names(text: Any) -> tuple[str, ...]:
    """Return the names of a text prompt: between commas, else full stops as the editor suggests."""
    if not isinstance(text, str):
        return ()
    text = text.strip().rstrip(".")
    names = (name.strip() for name in text.split("," if "," in text else "."))
    return tuple(dict.fromkeys(filter(None, names)))


def _read_share(value: Any, default: float, most: float) -> float:
    is_number = type(value) in (int, float) and value == value and value >= 0
    return min(float(value), most) if is_number else default


def _write_names(found: Found) -> str:
    names = found.names[: _OTHER_NAMES + 1]
    return ", ".join(f"{name.category} {name.score:.2f}" for name in names)


def _succeed(data: Any) -> Json:
    return {"success": True, "data": data}


def describe_failure(sentence: str) -> Json:
    """Return the body of a response to a request that cannot be answered."""
    return {"success": False, "error": {"code": "REFUSED", "message": sentence}}
