"""Questions as a table for a spreadsheet, and its answers: for people without an editor.

One line an object, with a picture of it. A person writes "y" or "n" into the column `answer`, or
the true name into `true_name`; a line without either is no answer. Masks cannot be changed so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ovsam.errors import show_value
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.export.csv import neutralise, restore
from ovsam_pipeline.review.answers import ObjectAnswer
from ovsam_pipeline.storage.remote_path import AnyPath

SHEET = "csv"
SHEET_FILE, CROPS_FOLDER = "answers.csv", "crops"
COLUMNS = (
    "picture", "category", "answer", "true_name", "score", "risk", "reason", "file_name", "key",
)  # fmt: skip
# Spreadsheets take keys of digits for numbers.
_KEY_MARK = "key "
_YES = frozenset({"y", "yes", "ok", "1", "true", "x", "right"})
_NO = frozenset({"n", "no", "0", "false", "wrong"})
_MOST_BYTES = 1 << 30


def write_line(writer: Any, item: Mapping[str, Any], file_name: str, picture: str) -> None:
    """Write the line of an object that is shown in a picture, "" for none."""
    numbers = ("" if item.get(n) is None else f"{item[n]:.4f}" for n in ("score", "risk"))
    texts = (item.get("category") or "", "", "", *numbers, item.get("reason") or "", file_name)
    cells = (picture, *texts, _KEY_MARK + item["key"])
    writer.writerow([neutralise(cell) for cell in cells])


def start_sheet(stream: io.TextIOBase) -> Any:
    """Write the head of a sheet; return its writer."""
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    return writer


def read_sheet(path: AnyPath) -> Iterator[ObjectAnswer]:
    """Yield the answers in a sheet that a person filled in.

    Raises:
        DatasetError: it is no such sheet, or a line, or two of one object, say two things; the line
            is named.
    """
    said: dict[tuple[str, str, str], tuple[int, str | None]] = {}
    for number, cells in enumerate(_read_lines(path), start=2):
        answer, name = cells["answer"].strip().lower(), restore(cells["true_name"].strip())
        key = cells["key"].strip().removeprefix(_KEY_MARK)
        if not answer and not name:
            continue
        if answer and answer not in _YES | _NO:
            raise DatasetError(
                f"expected y or n as the answer in line {number} of {path}, got "
                f"{show_value(cells['answer'], 40)}; write another name into true_name"
            )
        if name and answer in _YES and name != restore(cells["category"]):
            raise DatasetError(
                f"line {number} of {path} says that {show_value(cells['category'], 40)} is right "
                f"and that the true name is {show_value(name, 40)}; clear one of the two"
            )
        category = name or ("" if answer in _YES else None)
        file_name, shown = restore(cells["file_name"]), restore(cells["category"])
        before, other = said.setdefault((file_name, key, shown), (number, category))
        if other != category:
            raise DatasetError(
                f"lines {before} and {number} of {path} are of one object and say two things; "
                "clear the answer in one of them"
            )
        yield ObjectAnswer(file_name, key, category, shown)


def _read_lines(path: AnyPath) -> Iterable[dict[str, str]]:
    """Return the lines by column; spreadsheets may have written tabs or semicolons."""
    try:
        content = path.read_bytes()
        if len(content) > _MOST_BYTES:
            raise DatasetError(f"expected a sheet of less than 1 GB, got {path}")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(
            f"expected UTF-8 in {path}; save it as CSV UTF-8 in the spreadsheet"
        ) from None
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restval="")
    missing = {"answer", "true_name", "file_name", "key", "category"} - set(lines.fieldnames or ())
    if missing:
        raise DatasetError(
            f"expected the columns of ovsam review --export csv in {path}, got none named "
            f"{' or '.join(sorted(missing))}"
        )
    try:
        yield from lines
    except csv.Error as error:
        raise DatasetError(f"cannot read {path} as CSV: {error}") from error
