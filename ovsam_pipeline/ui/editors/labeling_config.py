"""A project's labelling configuration of Label Studio → which control holds answers, its labels.

The configuration is XML that people write: tags, attributes and their order are free. Read is what
an answer needs: the image, the controls that draw on it, and the labels of each.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

from ovsam.errors import ConfigError
from ovsam.text.class_list import fold_name
from ovsam_pipeline.review.editors.xml_events import End, Start, iterate_xml

Shape = Literal["brush", "polygon", "rectangle"]
# In the order in which they are taken for answers: what holds most of a mask first.
_SHAPES: dict[str, Shape] = {
    "brushlabels": "brush",
    "polygonlabels": "polygon",
    "rectanglelabels": "rectangle",
}
_IMAGE = "image"
_MOST_BYTES = 8 << 20


@dataclass(frozen=True)
class LabelingConfig:
    """Where an answer goes.

    Attributes:
        image: name of the image tag.
        data_key: under which a task's data has the address of the image.
        control: name of the tag that answers are regions of.
        shape: what such a region is.
        labels: what the control calls each class, by the name that people read; in order.
    """

    image: str
    data_key: str
    control: str
    shape: Shape
    labels: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, for the model to choose from."""
        return tuple(self.labels)

    def find_label(self, name: str) -> str | None:
        """Return the label of a name, capitals aside; None where the project has none."""
        if name in self.labels:
            return self.labels[name]
        folded = fold_name(name)
        same = (label for own, label in self.labels.items() if fold_name(own) == folded)
        return next(same, None)

    def has_label(self, label: str) -> bool:
        """Return whether a label of some control is a class of answers."""
        return label in self.labels.values()


@dataclass
class _Control:
    tag: str
    name: str
    image: str
    labels: dict[str, str]


def read_labeling_config(text: str) -> LabelingConfig:
    """Return where answers go in a project of this configuration.

    Raises:
        ConfigError: it is no XML, or has no image with labels for masks, polygons or boxes on it.
    """
    if len(text) > _MOST_BYTES:
        raise ConfigError("expected a labelling configuration of at most 8 MB")
    images, controls = _collect(text)
    for tag, shape in _SHAPES.items():
        for control in controls:
            if control.tag == tag and control.image in images and control.labels:
                key = images[control.image]
                return LabelingConfig(control.image, key, control.name, shape, control.labels)
    raise ConfigError(
        "expected a labelling configuration with an <Image> and <BrushLabels>, <PolygonLabels> or "
        "<RectangleLabels> on it, with a <Label> for each class; see docs/serve.md for one"
    )


def _collect(text: str) -> tuple[dict[str, str], list[_Control]]:
    """Return the data key of each image tag by its name, and the controls that may have labels."""
    images: dict[str, str] = {}
    controls: list[_Control] = []
    inside: list[_Control | None] = []
    try:
        for event in iterate_xml(io.BytesIO(text.encode("utf-8"))):
            if isinstance(event, End):
                inside.pop()
                continue
            tag, attributes = event.tag.lower(), event.attributes
            if tag == _IMAGE:
                images[attributes.get("name", "")] = attributes.get("value", "").removeprefix("$")
            elif tag == "label" and inside and inside[-1] is not None:
                _add_label(inside[-1], event)
            inside.append(_start_control(event) if tag in _SHAPES else (inside or [None])[-1])
            if tag in _SHAPES and inside[-1] is not None:
                controls.append(inside[-1])
    except (ValueError, UnicodeEncodeError) as error:
        raise ConfigError(f"the labelling configuration cannot be read: {error}") from error
    return images, controls


def _start_control(event: Start) -> _Control:
    attributes = event.attributes
    return _Control(event.tag.lower(), attributes.get("name", ""), attributes.get("toName", ""), {})


def _add_label(control: _Control, event: Start) -> None:
    value = event.attributes.get("value", "").strip()
    if value:
        control.labels.setdefault(value, event.attributes.get("alias") or value)
