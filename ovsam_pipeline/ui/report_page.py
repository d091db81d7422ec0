"""The self-contained page: one file that opens from a disk, asks for nothing, and prints.

Style and bundle are in it, and the page's policy allows those two by their hash and pictures that
are in it; all else, above all any request, is refused by the browser. Data are JSON in <script>
elements that no browser runs, with every "<" escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ovsam.errors import ConfigError, explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.evaluation.reporting.files import REPORT_MARK, is_report
from ovsam_pipeline.storage.atomic import replace_file
from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.ui.start_page import escape_script_json, read_static

_HEAD = """<!doctype html>
{mark}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
"""
# Rows from which on a printed table has several columns.
_LONG = 24
_NUMBER = re.compile(r"[\d.,]+( %)?")
_ROOT = '<div id="root"><noscript>The pictures need JavaScript.</noscript></div>\n'


@dataclass(frozen=True)
class Section:
    """A part of the head of a report, as plain text; it is shown also without JavaScript.

    Attributes:
        lines: paragraphs; lines that begin with a space are one table, in columns as they are.
        rows: a table of two or more columns, with its `header`.
    """

    title: str
    lines: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class DataElement:
    """Data of a page: the id of its <script>, its type, and its text in pieces.

    Pieces of JSON come from `escape_script_json`: they are written as they are.
    """

    name: str
    media_type: str
    pieces: Iterable[str]


def check_target(path: AnyPath) -> None:
    """Refuse to replace what is no report of ours.

    Raises:
        ConfigError: a folder, or another file, is there.
        OutputError: it cannot be looked at.
    """
    with explain("cannot look at", path, OutputError):
        if isinstance(path, Path) and path.is_dir():
            raise ConfigError(f"expected a file to write, got the folder {path}; name one in it")
        if not path.exists():
            return
        if isinstance(path, Path) and not path.is_file():
            raise ConfigError(f"expected a file to write, got {path}, which is none")
        is_ours = is_report(path)
    if not is_ours:
        raise ConfigError(
            f"{path} is there and no report of ovsam, so it is not replaced; choose another name"
        )


def write_page(
    path: AnyPath,
    title: str,
    sections: Sequence[Section],
    start: Mapping[str, Any],
    elements: Sequence[DataElement],
) -> int:
    """Write a self-contained page, whole or not at all; return its size in bytes.

    `start`: the start data, with "kind". The pieces of `elements` are asked for one by one.

    Raises:
        ConfigError, OutputError: see `check_target`; the file cannot be written.
    """
    check_target(path)
    if isinstance(path, Path):
        with explain("cannot make the folder of", path, OutputError):
            path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            _write_whole(file, title, sections, start, elements)
        return temporary.stat().st_size


def _write_whole(
    file: IO[str],
    title: str,
    sections: Sequence[Section],
    start: Mapping[str, Any],
    elements: Sequence[DataElement],
) -> None:
    style = read_static("ovsam.css").decode("utf-8")
    script = read_static("ovsam.js").decode("utf-8")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    file.write(_HEAD.format(mark=REPORT_MARK, policy=policy, title=_escape(title), style=style))
    file.writelines(_write_sections(title, sections))
    file.write(_ROOT)
    json_start = DataElement("start", "application/json", [escape_script_json(start)])
    for element in (json_start, *elements):
        file.write(f'<script type="{element.media_type}" id="{element.name}">')
        file.writelines(element.pieces)
        file.write("</script>\n")
    file.write(f"<script>{script}</script>\n</body>\n</html>\n")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _write_sections(title: str, sections: Sequence[Section]) -> Iterator[str]:
    if not sections:
        return
    yield f'<article class="report-head" data-testid="report-head">\n<h1>{_escape(title)}</h1>\n'
    for section in sections:
        yield f"<section>\n<h2>{_escape(section.title)}</h2>\n"
        yield from _write_lines(section)
        if section.rows:
            yield from _write_table(section)
        yield "</section>\n"
    yield "</article>\n"


def _write_lines(section: Section) -> Iterator[str]:
    held: list[str] = []
    for line in (*section.lines, ""):
        if line.startswith(" "):
            held.append(line)
            continue
        if held:
            yield f"<pre {_scroll(section)}>{_escape(chr(10).join(held))}</pre>\n"
            held = []
        if line:
            yield f"<p>{_escape(line)}</p>\n"


def _write_table(section: Section) -> Iterator[str]:
    header, rows = section.header, section.rows
    is_long = " is-long" if len(rows) > _LONG else ""
    yield f'<div class="report-table{is_long}" {_scroll(section)}><table class="grid">\n'
    # A column of numbers is aligned on the right.
    columns = [all(map(_NUMBER.fullmatch, column)) for column in zip(*rows, strict=True)]
    kinds = [' class="number"' if is_number else "" for is_number in columns]
    if header:
        named = zip(kinds, header, strict=True)
        cells = "".join(f'<th scope="col"{kind}>{_escape(name)}</th>' for kind, name in named)
        yield f"<thead><tr>{cells}</tr></thead>\n"
    yield "<tbody>\n"
    for row in rows:
        placed = zip(kinds, row, strict=True)
        cells = "".join(f"<td{kind}>{_escape(cell)}</td>" for kind, cell in placed)
        yield f"<tr>{cells}</tr>\n"
    yield "</tbody></table></div>\n"


def _scroll(section: Section) -> str:
    """Return the attributes of what scrolls: the keyboard has to reach it."""
    return f'tabindex="0" role="region" aria-label="{_escape(section.title)}"'


def _escape(text: str) -> str:
    """Return text of others as HTML that shows it: whatever cannot be written is shown as "?"."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8")).replace("\0", "?")
