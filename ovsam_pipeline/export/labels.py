"""Rows of an output → the images and objects that an export writes, one image after the other.

What people answered is applied, failed images are left out (as images without objects they would
teach "nothing here"), and images without objects are kept. Memory: a few rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ovsam.errors import ConfigError, show_value
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.answered_rows import REVIEWED_BY, read_corrections
from ovsam_pipeline.output.folder import list_parts, read_run_file
from ovsam_pipeline.output.parts import iterate_part_rows, read_part_index
from ovsam_pipeline.output.reviews import read_answers
from ovsam_pipeline.records import UNKNOWN_ORIGIN, Origin
from ovsam_pipeline.storage.remote_path import AnyPath

_IMAGE_COLUMNS = ("image_id", "file_name", "width", "height", "status")


@dataclass(frozen=True)
class LabelChoice:
    """Which objects are exported.

    Attributes:
        min_score: least `score` of an object; those that a person saw stay whatever their score.
        classes: names of classes to keep; none: all.
        reviewed_only: only objects that a person saw, and images with such objects or answers.
        max_risk: greatest `risk` of an object, as `ovsam review --certify` finds one; objects
            without a risk go, too, and those that a person saw stay. None: any.
    """

    min_score: float = 0.0
    classes: tuple[str, ...] = ()
    reviewed_only: bool = False
    max_risk: float | None = None

    def __post_init__(self) -> None:
        """Refuse a score or a risk that is none."""
        if self.max_risk is not None and not 0 <= self.max_risk <= 1:
            raise ConfigError(f"expected --max-risk in 0..1, got {self.max_risk}")
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"expected --min-score in 0..1, got {self.min_score}")

    @property
    def more_fields(self) -> tuple[str, ...]:
        """Columns of objects that the choice needs besides category and score."""
        return () if self.max_risk is None else ("risk",)

    @property
    def is_all(self) -> bool:
        """Whether every object is exported."""
        return self == LabelChoice()

    def holds_all_up_to(self, risk: float) -> bool:
        """Whether all objects up to a risk are exported, whatever their class and score."""
        is_free = not (self.min_score or self.classes or self.reviewed_only)
        return is_free and (self.max_risk is None or self.max_risk >= risk)

    def keep(self, item: dict[str, Any]) -> bool:
        """Return whether an object of a row, as a dict, is exported."""
        if self.classes and item["category"] not in self.classes:
            return False
        if item.get(REVIEWED_BY) is not None:
            return True
        risk = item.get("risk")
        if self.max_risk is not None and (risk is None or risk > self.max_risk):
            return False
        return not self.reviewed_only and item["score"] >= self.min_score


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image that was read, and what was found in it.

    Attributes:
        image_id: at most 53 bits, unless a COCO file gave a longer one.
        file_name: relative path or address, as the output has it: text of others.
        width: pixels of the upright image; so is `height`.
        objects: as `ObjectRecord.to_row` gives them; columns that the part lacks are left out, and
            `reviewed_by` is there where a person saw the object.
        origin: from where the image was listed.
    """

    image_id: int
    file_name: str
    width: int
    height: int
    objects: list[dict[str, Any]]
    origin: Origin = UNKNOWN_ORIGIN


def iterate_labelled(
    output: AnyPath, choice: LabelChoice, fields: Sequence[str] | None = None
) -> Iterator[LabelledImage]:
    """Yield the images of an output with the objects that were chosen, part after part.

    The order is the same each time while no run writes into the output. `fields` are the columns of
    objects that are needed, which is much faster than all; category and score are always there.
    """
    columns = None
    if fields is not None:
        needed = sorted({*fields, "category", "score", *choice.more_fields})
        columns = (*_IMAGE_COLUMNS, *(f"objects.list.element.{name}" for name in needed))
    corrected, keeps_all = read_corrections(output).objects, choice.is_all
    for part in list_parts(output):
        index = read_part_index(part)
        for number, row in enumerate(iterate_part_rows(part, columns)):
            if row["status"] == "failed":
                continue
            found = corrected.get(row["file_name"], row["objects"] or ())
            objects = list(found) if keeps_all else [item for item in found if choice.keep(item)]
            if choice.reviewed_only and row["file_name"] not in corrected:
                continue
            origin = index.origins[index.origin_of[number]]
            size = row["width"], row["height"]
            yield LabelledImage(row["image_id"], row["file_name"], *size, objects, origin)


def read_labels_run(output: AnyPath) -> dict[str, Any]:
    """Return run.json of an output of `ovsam label`; an OutputError for any other folder."""
    run = read_run_file(output)
    if "categories" not in run:
        raise OutputError(
            f"expected an output folder of ovsam label, got {output} without run.json"
        )
    if run.get("task") == "detect":
        raise OutputError(
            f"{output} holds boxes of ovsam detect and no labels; run ovsam label --detector "
            f"boxes:{output}"
        )
    return run


def read_categories(output: AnyPath, choice: LabelChoice) -> list[dict[str, Any]]:
    """Return the classes of an output as COCO lists them, {"id", "name"}, by ascending id.

    All of its vocabulary and the names that people gave, or those chosen; also classes of which
    there is no object, so that an export's numbering does not depend on what was found.

    Raises:
        OutputError: it is no output of `ovsam label`.
        ConfigError: a chosen class is none of its vocabulary.
    """
    run = read_labels_run(output)
    known = read_answers(output).extend_categories(run["categories"])
    categories = sorted(known, key=lambda category: category["id"])
    check_classes(choice.classes, [category["name"] for category in categories])
    if not choice.classes:
        return categories
    return [category for category in categories if category["name"] in choice.classes]


def check_classes(wanted: Sequence[str], names: Sequence[str]) -> None:
    """Refuse names that are no class, with the nearest one."""
    from difflib import get_close_matches

    known = set(names)
    for name in wanted:
        if name in known:
            continue
        close = get_close_matches(name, names, 1)
        nearest = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"expected --classes of this output, got {show_value(name, 60)}{nearest}")
