"""A file that people filled in or corrected → answers in OUT/reviews.jsonl."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from ovsam.checked_json import refuse_pipe
from ovsam.errors import ConfigError, explain
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.output.reviews import Answer, append_answers, read_answers
from ovsam_pipeline.review.answers import AnswerMaker, ImportReport
from ovsam_pipeline.review.editors.reading import EDITOR_FORMATS, EditorFormat, read_editor_file
from ovsam_pipeline.review.sheet import SHEET, SHEET_FILE, read_sheet
from ovsam_pipeline.storage.remote_path import AnyPath

FORMATS = (*EDITOR_FORMATS, SHEET)
_SHEET_SUFFIXES = (".csv", ".tsv", ".txt")
_CHUNK_BYTES = 1 << 20


def receive_file(
    output: AnyPath, path: AnyPath, file_format: str | None, by: str | None
) -> ImportReport:
    """Add the answers in a file to an output's; return what they were.

    Args:
        output: whose labels were shown.
        path: the file, or the folder that `--export csv` wrote.
        file_format: one of `FORMATS`; None: found out.
        by: who answered, in place of what the file says.

    Raises:
        ConfigError: there is no such format.
        DatasetError: the file cannot be read, or is of no such format.
    """
    if file_format is not None and file_format not in FORMATS:
        raise ConfigError(f"expected --format as one of {', '.join(FORMATS)}, got '{file_format}'")
    with explain("cannot read", path, DatasetError):
        if path.is_dir() and (path / SHEET_FILE).exists():
            path = path / SHEET_FILE
        refuse_pipe(path)
    report = ImportReport()
    maker = AnswerMaker(output, by, _hash_file(path))
    if file_format == SHEET or (file_format is None and path.suffix.lower() in _SHEET_SUFFIXES):
        answers = maker.answer_objects(read_sheet(path), report)
    else:
        editor = cast("EditorFormat | None", file_format)
        answers = maker.answer_images(read_editor_file(path, report.left_out, editor), report)
    report.new_names = _find_new_names(output, answers)
    report.added = append_answers(output, answers)
    return report


def _find_new_names(output: AnyPath, answers: Iterable[Answer]) -> tuple[str, ...]:
    """Return the names of answers that are no class of an output yet: new ones, or misspelt."""
    known = read_answers(output).extend_categories(read_run_file(output).get("categories", []))
    names = dict.fromkeys(answer.category for answer in answers if answer.category is not None)
    for category in known:
        names.pop(str(category["name"]), None)
    return tuple(names)


def _hash_file(path: AnyPath) -> str:
    """Return a hash of what a file holds: the same file read again adds nothing."""
    digest = hashlib.blake2b(digest_size=8)
    with explain("cannot read", path, DatasetError):
        files: list[AnyPath] = [path]
        if isinstance(path, Path) and path.is_dir():
            files = [*sorted(path.rglob("*.json"))]
        for file in files:
            with file.open("rb") as stream:
                while data := stream.read(_CHUNK_BYTES):
                    digest.update(data)
    return digest.hexdigest()
