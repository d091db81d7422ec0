"""Row numbers of an output → its rows, read part by part as they are asked for.

Rows are numbered through the parts in the order in which they were found: parts that a running run
writes come after those that are known, so that a page that is open keeps its numbers.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from ovsam.errors import OvsamError, explain
from ovsam_pipeline.errors import DamagedPartError, OutputError
from ovsam_pipeline.output.answered_rows import apply_answers, replace_objects
from ovsam_pipeline.output.done_index import PartIndex
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.part_tables import read_ahead
from ovsam_pipeline.output.parts import read_part, read_whole_part
from ovsam_pipeline.output.reviews import Answers
from ovsam_pipeline.records import UNKNOWN_ORIGIN, Origin
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath
from ovsam_pipeline.ui.gallery.index import (
    INDEX_COLUMNS,
    VERDICTS,
    Columns,
    Names,
    join_columns,
    read_columns,
)
from ovsam_pipeline.ui.objects import find_verdicts

logger = logging.getLogger(__name__)

_CACHE_BYTES = 256 << 20
# Of boxes.
_NO_MASK = {"size": (0, 0), "counts": ""}
# Parts of one slice that are read at once.
_READERS, _READERS_OF_STORES = 2, 16


@dataclass(frozen=True)
class Row:
    """One image of an output.

    Attributes:
        number: through all parts.
        values: as `iterate_part_rows` yields it, the labels before answers; only `file_name` and
            `error` of a row that cannot be read.
        origin: from where its image was listed.
    """

    number: int
    values: Mapping[str, Any]
    origin: Origin = UNKNOWN_ORIGIN

    @property
    def file_name(self) -> str:
        """The image's name, as the output has it."""
        return str(self.values["file_name"])


@dataclass(frozen=True, eq=False)
class _Part:
    """A part whose columns are here: `stamp` changes when the file does."""

    path: AnyPath
    stamp: tuple[int, int]
    names: pa.Array
    columns: Columns


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of an output at one time.

    Attributes:
        damaged: what is wrong with the parts that are left out, by their name.
    """

    parts: tuple[_Part, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def ends(self) -> np.ndarray:
        """The number behind the last row of each part: (P,) int64."""
        return np.cumsum([len(part.names) for part in self.parts], dtype=np.int64)

    @property
    def num_images(self) -> int:
        """How many rows there are."""
        return int(self.ends[-1]) if self.parts else 0

    @cached_property
    def num_objects(self) -> int:
        """How many objects they have, answers applied."""
        return sum(len(part.columns.category) for part in self.parts)

    def join_columns(self) -> Columns:
        """Return the columns of all rows."""
        return join_columns([part.columns for part in self.parts])

    def list_names(self) -> list[str]:
        """Return the file names of all rows."""
        return [name for part in self.parts for name in part.names.to_pylist()]

    def locate(self, rows: Iterable[int]) -> list[tuple[_Part, int]]:
        """Return the part of each row, and its place in it; an IndexError for one that is none."""
        found = []
        for row in rows:
            if not 0 <= row < self.num_images:
                raise IndexError(row)
            number = int(np.searchsorted(self.ends, row, side="right"))
            part = self.parts[number]
            found.append((part, row - int(self.ends[number]) + len(part.names)))
        return found


class Rows:
    """Reads an output: its columns once, its rows in slices. Safe for several threads."""

    def __init__(self, output: AnyPath, names: Names) -> None:
        self._output, self._names = output, names
        self._kept: OrderedDict[tuple[AnyPath, tuple[int, int]], tuple[PartIndex, pa.Table]] = (
            OrderedDict()
        )
        self._kept_bytes = 0
        self._lock = threading.Lock()
        is_remote = isinstance(output, RemotePath)
        self._pool = ThreadPoolExecutor(
            _READERS_OF_STORES if is_remote else _READERS, thread_name_prefix="ovsam-rows"
        )

    def take_snapshot(self, old: Snapshot, answers: Answers, changed: frozenset[str]) -> Snapshot:
        """Return the rows of now; of parts that are as in `old` nothing is read again.

        `changed`: images whose answers are others than in `old`.
        """
        stamps = {part: _read_stamp(part) for part in list_parts(self._output)}
        known = {
            part.path: part
            for part in old.parts
            if stamps.get(part.path) == part.stamp and not _has_any(part, changed)
        }
        # Rows keep their numbers while no part before them has changed its length.
        order = [part.path for part in old.parts if part.path in stamps]
        order += sorted(stamps.keys() - set(order), key=lambda path: path.name)
        missing = [path for path in order if path not in known]
        damaged = {}
        ids = {one["name"]: one["id"] for one in self._names.list_categories()}

        def read(path: AnyPath, content: bytes | None) -> _Part | OvsamError:
            try:
                return self._read_part(path, stamps[path], content, answers, ids)
            except DamagedPartError as error:
                return error

        for path, found in zip(missing, read_ahead(missing, read), strict=True):
            if isinstance(found, _Part):
                known[path] = found
            else:
                damaged[path.name] = str(found)
        return Snapshot(tuple(known[path] for path in order if path in known), damaged)

    def read(self, snapshot: Snapshot, rows: Sequence[int]) -> list[Row]:
        """Return whole rows. One whose part is gone or damaged by now has `error` alone.

        An IndexError for a number that is none.
        """
        places = snapshot.locate(rows)
        parts = {id(part): part for part, _ in places}
        found = dict(zip(parts, self._pool.map(self._try_part, parts.values()), strict=True))
        taken = []
        for number, (part, place) in zip(rows, places, strict=True):
            whole = found[id(part)]
            name = part.names[place].as_py()
            if isinstance(whole, str):
                taken.append(Row(number, {"file_name": name, "error": whole}))
                continue
            index, table = whole
            if place >= len(table) or table["file_name"][place].as_py() != name:
                sentence = "its part was written anew; reload the page"
                taken.append(Row(number, {"file_name": name, "error": sentence}))
                continue
            values = table.slice(place, 1).to_pylist()[0]
            if not _is_sound(values):
                values = {"file_name": name, "error": "its row is damaged; label the image again"}
            taken.append(Row(number, values, index.origins[index.origin_of[place]]))
        return taken

    def _read_part(
        self,
        path: AnyPath,
        stamp: tuple[int, int],
        content: bytes | None,
        answers: Answers,
        ids: Mapping[str, int],
    ) -> _Part:
        """Return the columns of a part, with the answers on its images applied."""
        columns = list(INDEX_COLUMNS)
        table = read_part(path, lambda file: file.read(columns=columns, use_threads=False), content)
        table = table.replace_schema_metadata(None)
        names = table["file_name"].combine_chunks()
        if names.null_count:
            raise DamagedPartError(path, path.name, "an image has no name")
        is_answered = [bool(answers) and name in answers.by_image for name in names.to_pylist()]
        if not any(is_answered):
            return _Part(path, stamp, names, read_columns(table, self._names))
        _, whole = read_whole_part(path, content)
        corrected = {
            row["file_name"]: apply_answers(row, answers.of(row["file_name"]), ids)
            for row in whole.filter(pa.array(is_answered)).to_pylist()
            if row["status"] != "failed"
        }
        found = read_columns(replace_objects(table, corrected), self._names)
        firsts = np.cumsum(found.num_objects) - found.num_objects
        for first, name in zip(firsts.tolist(), names.to_pylist(), strict=True):
            if name in corrected:
                verdicts = find_verdicts(corrected[name], answers.of(name))
                numbers = [VERDICTS.index(verdict or "none") for verdict in verdicts]
                found.verdict[first : first + len(numbers)] = numbers
        return _Part(path, stamp, names, found)

    def _try_part(self, part: _Part) -> tuple[PartIndex, pa.Table] | str:
        """Return a whole part, or the sentence that says why it cannot be read."""
        key = (part.path, part.stamp)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        try:
            with explain("cannot read", part.path, OutputError):
                is_remote = isinstance(part.path, RemotePath)
                content = part.path.read_bytes() if is_remote else None
            found = read_whole_part(part.path, content)
        except OvsamError as error:
            return str(error)
        with self._lock:
            self._keep(key, found)
        return found

    def _keep(
        self, key: tuple[AnyPath, tuple[int, int]], found: tuple[PartIndex, pa.Table]
    ) -> None:
        if key not in self._kept:
            self._kept_bytes += found[1].nbytes
        self._kept[key] = found
        while self._kept_bytes > _CACHE_BYTES and len(self._kept) > 1:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._kept_bytes -= oldest.nbytes


def _is_sound(values: Mapping[str, Any]) -> bool:
    """Whether all objects of a row have a box, and run lengths where they have a mask."""
    for item in values.get("objects") or ():
        if item is None or item["bbox"] is None or None in item["bbox"] or len(item["bbox"]) != 4:
            return False
        mask = item.get("segmentation", _NO_MASK)
        if mask is None or None in mask.values() or None in (mask["size"] or (None,)):
            return False
    return True


def _read_stamp(part: AnyPath) -> tuple[int, int]:
    """Return what changes when a part is written anew; parts on stores are known by their name."""
    if isinstance(part, RemotePath):
        return (0, 0)
    try:
        state = part.stat()
    except OSError:
        return (0, 0)
    return state.st_size, state.st_mtime_ns


def _has_any(part: _Part, changed: frozenset[str]) -> bool:
    return bool(changed) and any(name in changed for name in part.names.to_pylist())
