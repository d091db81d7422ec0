"""An output that is open to be looked at: its columns, its rows as drawn, its pictures."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ovsam.errors import ImageError, OvsamError, describe_error
from ovsam_pipeline.export.image_files import PictureFinder
from ovsam_pipeline.output.answered_rows import apply_answers, find_rejected
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.output.reviews import Answers, CurrentAnswer, read_answers
from ovsam_pipeline.records import ImagePlace
from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.ui.gallery.index import SEEN, Names, encode_index, take_images
from ovsam_pipeline.ui.gallery.rows import Row, Rows, Snapshot
from ovsam_pipeline.ui.objects import draw_objects
from ovsam_pipeline.ui.pictures import THUMBNAIL_SIDE, Picture, Pictures

DRAWN_SIDE = 1024
"""Outlines are off by half a pixel of a picture of this side, where a page asks for no other."""
_FIRST_OBJECTS, _FIRST_IMAGES = 400, 40
_AGAIN = "ovsam view {old} --source NEW_PLACE"
_ROW_KEYS = ("file_name", "width", "height", "status", "error", "warning")


class OpenedOutput:
    """An output and what people answered on it; safe to be used from several threads.

    `refresh` looks for rows and answers that came meanwhile; all else speaks of the rows of then.
    """

    def __init__(self, path: AnyPath, sources: tuple[str, ...] = ()) -> None:
        """Read the columns of all rows. `sources`: where the pictures are now, if they moved."""
        self.path = path
        self.run = read_run_file(path)
        self.is_boxes = self.run.get("task") == "detect"
        self.names = Names(())
        self.snapshot = Snapshot()
        self.answers = Answers()
        self._rows = Rows(path, self.names)
        self._pictures = Pictures()
        self._finder = PictureFinder(path, sources, _AGAIN)
        self._finding = threading.Lock()
        self._refreshing = threading.Lock()
        self.refresh()

    def refresh(self) -> bool:
        """Read what is new: parts, and answers; return whether anything was."""
        with self._refreshing:
            answers = Answers() if self.is_boxes else read_answers(self.path)
            changed = _find_changed(self.answers, answers)
            # A run that has begun meanwhile may only now have written its classes.
            self.run = read_run_file(self.path)
            categories = self.run.get("categories", [])
            self.names.add_categories(answers.extend_categories(categories))
            old = self.snapshot
            self.snapshot = self._rows.take_snapshot(old, answers, changed)
            self.answers = answers
            return self.snapshot.parts != old.parts

    def describe(self) -> dict[str, Any]:
        """Return what the start data of a gallery says of an output."""
        return {
            "output": str(self.path),
            "categories": self.names.list_categories(),
            "is_boxes": self.is_boxes,
            **self.count(),
            "damaged": dict(self.snapshot.damaged),
        }

    def count(self) -> dict[str, int]:
        """Return the numbers of images, of objects, and of objects that a person saw."""
        snapshot = self.snapshot
        seen = sum(int(np.count_nonzero(part.columns.flags & SEEN)) for part in snapshot.parts)
        return {"images": snapshot.num_images, "objects": snapshot.num_objects, "seen": seen}

    def encode_index(
        self, rows: Sequence[int] | None = None, difference: np.ndarray | None = None
    ) -> bytes:
        """Return the index of all rows, or of some, in their order; see `index.py`.

        `difference`: (N,) float32, of these rows.
        """
        columns = self.snapshot.join_columns()
        if rows is not None:
            columns = take_images(columns, rows)
        return encode_index(columns, self.names.errors, difference)

    def read_rows(self, rows: Sequence[int]) -> list[Row]:
        """Return whole rows, the labels before answers; an IndexError for one that is none."""
        return self._rows.read(self.snapshot, rows)

    def read_images(self, rows: Sequence[int], side: int = DRAWN_SIDE) -> list[dict[str, Any]]:
        """Return rows as the page draws them, with outlines for pictures of a longer side `side`.

        Each has row, file_name, width, height, status, error, warning and objects as
        `ui/objects.py` describes them, answers applied, and what was rejected. An IndexError for a
        row that is none.
        """
        return [self.draw_with_rejected(row, side) for row in self.read_rows(rows)]

    def draw_with_rejected(self, row: Row, side: int = DRAWN_SIDE) -> dict[str, Any]:
        """Return one row as the page draws it, with `rejected`: what people took from it.

        These are objects as in `draw_row`; the key of each is the id of the answer that rejects it.
        """
        return {**self.draw_row(row, side), "rejected": self._draw_rejected(row, side)}

    def draw_row(self, row: Row, side: int = DRAWN_SIDE) -> dict[str, Any]:
        """Return one row as the page draws it; see `read_images`."""
        objects = self.correct(row)
        known = {key: row.values.get(key) for key in _ROW_KEYS}
        if known["status"] != "failed":
            known["status"] = "labelled" if objects else "empty"
        if "status" not in row.values:  # its part cannot be read
            known["status"] = "failed"
        tolerance = find_tolerance(row, side)
        answers = self.list_answers(row)
        drawn = draw_objects(row.file_name, objects, tolerance, answers)
        return {"row": row.number, **known, "objects": drawn}

    def _draw_rejected(self, row: Row, side: int) -> list[dict[str, Any]]:
        answers = self.list_answers(row)
        if not answers or row.values.get("status") not in ("labelled", "empty"):
            return []
        found = find_rejected(row.values, answers, self.list_ids())
        items = [item for _, item in found]
        drawn = draw_objects(row.file_name, items, find_tolerance(row, side))
        return [
            {**item, "key": current.answer.id, "verdict": current.answer.verdict}
            for item, (current, _) in zip(drawn, found, strict=True)
        ]

    def correct(self, row: Row) -> list[dict[str, Any]]:
        """Return the objects of a row with the answers on its image applied."""
        answers = self.list_answers(row)
        if not answers or row.values.get("status") == "failed":
            return list(row.values.get("objects") or ())
        return apply_answers(row.values, answers, self.list_ids())

    def list_answers(self, row: Row) -> tuple[CurrentAnswer, ...]:
        """Return the answers on the image of a row."""
        return self.answers.of(row.file_name)

    def list_ids(self) -> dict[str, int]:
        """Return the ids of all classes by name."""
        return {one["name"]: one["id"] for one in self.names.list_categories()}

    def get_picture(self, number: int, side: int) -> Picture:
        """Return the picture of a row, its longer side at most `side` pixels.

        Raises:
            IndexError: there is no such row.
            ImageError: the picture is gone or cannot be decoded.
        """
        try:
            place = self._find_place(number)
        except FileNotFoundError as error:
            raise ImageError(f"the picture is gone: {describe_error(error)}") from error
        except OvsamError as error:
            raise ImageError(str(error)) from error
        return self._pictures.get(place, side)

    def explain_pictures(self) -> str | None:
        """Return why no picture can be shown, None where the first is found or only it is gone."""
        if not self.snapshot.num_images:
            return None
        try:
            self._find_place(0)
        except FileNotFoundError:
            return None
        except OvsamError as error:
            return str(error)
        return None

    def warm_up(self) -> None:
        """Read what a gallery shows first, the riskiest images, before somebody waits for it."""
        columns = self.snapshot.join_columns()
        riskiest = np.argsort(-np.nan_to_num(columns.risk), kind="stable")[:_FIRST_OBJECTS]
        ends = np.cumsum(columns.num_objects)
        rows = dict.fromkeys(np.searchsorted(ends, riskiest, side="right").tolist())
        for row in list(rows)[:_FIRST_IMAGES]:
            with suppress(OvsamError, IndexError):  # told when it is asked for
                self.get_picture(row, THUMBNAIL_SIDE)

    def _find_place(self, number: int) -> ImagePlace:
        [row] = self.read_rows([number])
        with self._finding:  # the sources may have to be listed, once
            return self._finder.find(row.file_name, row.origin)


def find_tolerance(row: Row, side: int) -> float:
    """Return half a pixel of a picture of a longer side `side`, in pixels of a row's image."""
    longer = max(row.values.get("width") or 0, row.values.get("height") or 0)
    return longer / side / 2


def _find_changed(old: Answers, new: Answers) -> frozenset[str]:
    """Return the images on which the answers that count are others than before."""
    if old is new:
        return frozenset()
    names = old.by_image.keys() | new.by_image.keys()
    return frozenset(name for name in names if old.of(name) != new.of(name))
