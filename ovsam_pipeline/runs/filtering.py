"""`ovsam filter`: the parts of an output → the parts of a new one, by rules and without networks.

Input: an output of `ovsam label` and a `FilterConfig`. Output: an output folder of the ordinary
kind, whose run.json tells what it was made from. Part after part: memory holds a few.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

import ovsam
from ovsam.coco_fields import to_text
from ovsam.errors import ConfigError, OvsamError, explain
from ovsam_pipeline.detectors.base import compute_fingerprint
from ovsam_pipeline.errors import DamagedPartError, OutputError
from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.export.row_counts import OutputCounts
from ovsam_pipeline.labelling.filter_rules import (
    FilterConfig,
    FilterPlan,
    describe_filter,
    plan_filter,
)
from ovsam_pipeline.labelling.filter_table import filter_table
from ovsam_pipeline.output.annotations_file import (
    ANNOTATIONS_FILE,
    choose_annotations,
    remove_annotations_beside,
)
from ovsam_pipeline.output.done_index import join_part_indices
from ovsam_pipeline.output.folder import (
    OutputFolder,
    check_own_files,
    check_writable,
    is_output,
    list_parts,
    read_run_file,
)
from ovsam_pipeline.output.part_tables import read_parts
from ovsam_pipeline.output.parts import write_part_table
from ovsam_pipeline.output.reviews import (
    Answer,
    Withdrawal,
    carry_answers,
    read_answers,
    read_line,
)
from ovsam_pipeline.storage.remote_path import AnyPath

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Small parts are joined up to this size.
_GROUP_BYTES = 4_000_000
_READERS = 16
# What run.json records of how labels were made, and what finds their images and settings again.
_PROVENANCE = (
    "model", "detector", "class_names", "vocabulary", "regions", "boxes_fit", "working_folder",
    "image_roots", "settings", "resolved", "versions",
)  # fmt: skip


@dataclass(frozen=True)
class FilterResult:
    """What a filter did and where it is.

    Attributes:
        output: the new output folder.
        annotations: the COCO file of it.
        totals: what it holds.
        dropped: objects of this run that did not come out, by reason.
        emptied: images of this run that lost their last object.
        unchanged: images whose rows were there already.
        answers: answers of people that were taken over, by this run or one before.
    """

    output: AnyPath
    annotations: AnyPath
    totals: OutputCounts
    dropped: Mapping[str, int]
    emptied: int
    unchanged: int
    answers: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "output": str(self.output),
            "annotations": str(self.annotations),
            "totals": self.totals.to_dict(),
            "dropped_objects": dict(self.dropped),
            "emptied": self.emptied,
            "unchanged": self.unchanged,
            "answers": self.answers,
        }


def run_filter(
    source: AnyPath, target: AnyPath, config: FilterConfig, on_existing: str = "resume"
) -> FilterResult:
    """Write the objects of `source` that pass into `target`.

    Args:
        source: an output folder of `ovsam label`, or of an earlier filter; it is only read.
        target: the new output folder. One that the same filter wrote is brought up to date.
        config: what passes, and new names.
        on_existing: "resume", "overwrite" or "error": what happens to rows that are there.

    Raises:
        ConfigError: the names or thresholds cannot work, or the target holds something else.
        OutputError: one of the two cannot be read or written.
    """
    run = _read_source(source)
    plan = plan_filter(config, run["categories"])
    depends_on = describe_filter(config, plan, run["fingerprint"])
    _refuse_target(source, target)
    if not is_output(target):
        check_writable(target)
    started = datetime.now(UTC)
    with OutputFolder(target) as folder:
        _refuse_labels(target)
        fingerprint = compute_fingerprint(depends_on)
        folder.prepare(fingerprint, {"depends_on": depends_on}, on_existing)
        before = read_run_file(target)
        known = _describe_run(run, source, plan, depends_on, started)
        folder.write_run_file({"state": "running", **known})
        try:
            result, seconds = _Filter(source, folder, plan, fingerprint).run()
        except OvsamError as error:
            with suppress(OutputError):  # on a full disk; the first reason is the one to report
                folder.write_run_file({"state": "failed", "error": str(error), **known})
            raise
        is_same = result.unchanged == result.totals.images
        folder.write_run_file(
            {
                "state": "finished",
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "totals": result.totals.to_dict(),
                "run": {"exit_code": 0, "seconds": round(seconds, 3)},
                "dropped_boxes": before.get("dropped_boxes", {}) if is_same else result.dropped,
                **known,
            }
        )
        return result


@dataclass(frozen=True)
class _Group:
    """Parts of the old output that become one part, and its name."""

    name: str
    parts: tuple[AnyPath, ...]


class _Filter:
    """A filter with the new folder, which it holds."""

    def __init__(
        self, source: AnyPath, folder: OutputFolder, plan: FilterPlan, fingerprint: str
    ) -> None:
        self.source, self.folder, self.plan = source, folder, plan
        self.fingerprint = fingerprint
        self.dropped: Counter[str] = Counter()
        self.emptied = self.written = 0

    def run(self) -> tuple[FilterResult, float]:
        """Bring parts, answers, COCO file and failures up to date; return the seconds, too."""
        start_s = time.perf_counter()
        groups = self._group_parts()
        self.folder.read_done(self.fingerprint)  # sets damaged parts aside
        there = {part.name for part in list_parts(self.folder.path)}
        missing = [group for group in groups if group.name not in there]
        # Before anything is written, so that no moment shows an image twice.
        self._remove(there.difference(group.name for group in groups))
        self._write(missing)
        # Where two parts of the old output have a row of one image, the new one has it once.
        self.folder.read_done(self.fingerprint)
        carry_answers(self.source, self.folder.path, self._change_answer)
        self.folder.write_failures()
        target = choose_annotations(self.folder.path)
        if target.name == ANNOTATIONS_FILE:
            remove_annotations_beside(self.folder.path)
        totals = export_coco(self.folder.path, target)
        if {part for group in groups for part in group.parts} != set(list_parts(self.source)):
            logger.warning(
                "%s changed while it was filtered: run the same command again", self.source
            )
        answers = read_answers(self.folder.path)
        result = FilterResult(
            self.folder.path,
            target,
            totals,
            dict(self.dropped.most_common()),
            self.emptied,
            totals.images - self.written,
            answers.lines - answers.withdrawn,
        )
        return result, time.perf_counter() - start_s

    def _group_parts(self) -> list[_Group]:
        """Return the parts of the old output in order, small ones together.

        A group is named by what decides its rows: of each part the name, size and time; so one that
        was rewritten has another name, and one that was not is left alone by the next run.
        """
        parts = list_parts(self.source)
        held: list[list[tuple[AnyPath, str]]] = [[]]
        num_bytes = 0
        for part, size, changed in zip(parts, *_find_states(parts), strict=True):
            if held[-1] and num_bytes + size > _GROUP_BYTES:
                held.append([])
                num_bytes = 0
            held[-1].append((part, f"{part.name} {size} {changed}"))
            num_bytes += size
        return [
            _Group(f"part-{compute_fingerprint(self.fingerprint, states)[:16]}.parquet", group)
            for group, states in (zip(*pairs, strict=True) for pairs in held if pairs)
        ]

    def _remove(self, names: Iterable[str]) -> None:
        self.folder.check_lock()
        for name in names:
            path = self.folder.parts_folder / name
            with explain("cannot remove", path, OutputError):
                path.unlink()

    def _write(self, groups: Sequence[_Group]) -> None:
        coming = _blame(self.source, read_parts([part for group in groups for part in group.parts]))
        for group in groups:
            indices, tables = zip(*islice(coming, len(group.parts)), strict=True)
            # Parts of earlier versions lack columns, which become nulls.
            table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
            filtered, dropped = filter_table(table, self.plan)
            self.dropped += dropped
            self.emptied += _count_empty(filtered) - _count_empty(table)
            self.written += table.num_rows
            self.folder.check_lock()
            index = join_part_indices(self.fingerprint, indices)
            write_part_table(self.folder.parts_folder / group.name, filtered, index)

    def _change_answer(self, line: bytes) -> bytes | None:
        """Return the line of an answer in the names of the new output; None for one left out.

        Whose name does not come out is left out. Where it is on an object whose own name does, it
        says of that one that it is none: else a wrong label would count as one that nobody saw.
        """
        try:
            said = read_line(line)
        except (ValueError, TypeError):
            return line  # a damaged one stays what it is
        answer = said.answer if isinstance(said, Withdrawal) else said
        changed = self._rename_answer(answer)
        if changed is answer:
            return line
        if changed is not None and isinstance(said, Withdrawal):
            return replace(said, answer=changed).to_line()
        return None if changed is None else changed.to_line()

    def _rename_answer(self, answer: Answer) -> Answer | None:
        """Return an answer in the names of the new output: itself where nothing changes."""
        category, shown = answer.category, to_text(answer.shown.get("category"))
        if category is not None and not self.plan.comes_out(category):
            if answer.reviewed is None or shown is None or not self.plan.comes_out(shown):
                return None
            answer = replace(answer, category=None, segmentation=None)
        elif category not in self.plan.names and shown not in self.plan.names:
            return answer
        if answer.category is not None:
            answer = replace(answer, category=self.plan.rename(answer.category))
        if shown is not None:
            shown = self.plan.rename(shown)
            answer = replace(answer, shown={**answer.shown, "category": shown})
        return answer


def _read_source(source: AnyPath) -> dict[str, Any]:
    """Return run.json of the output to filter."""
    run = read_run_file(source)
    if "fingerprint" not in run or "categories" not in run:
        raise ConfigError(f"expected an output folder of ovsam label, got {source}")
    if run.get("task") == "detect":
        raise ConfigError(
            f"{source} holds boxes of ovsam detect and no labels; run ovsam label --detector "
            f"boxes:{source}, whose --conf drops boxes"
        )
    return run


def _refuse_target(source: AnyPath, target: AnyPath) -> None:
    """Refuse a target that is, holds or lies in the old output, or that holds foreign files."""
    old, new = source.resolve(), target.resolve()
    if old == new or old in new.parents or new in old.parents:
        raise ConfigError(
            f"{target} is not apart from {source}, which is only read; give another -o"
        )
    check_own_files(target)


def _refuse_labels(target: AnyPath) -> None:
    """Refuse an output that networks made: --on-existing overwrite would lose it."""
    run = read_run_file(target)
    if (run or list_parts(target)) and run.get("task") != "filter":
        raise ConfigError(
            f"{target} holds results that ovsam filter did not make and does not replace; give "
            "another -o"
        )


def _describe_run(
    run: Mapping[str, Any],
    source: AnyPath,
    plan: FilterPlan,
    depends_on: Mapping[str, Any],
    started: datetime,
) -> dict[str, Any]:
    """Return what run.json says from the start: what was filtered, and how that was made."""
    return {
        "ovsam": ovsam.__version__,
        "started": started.isoformat(timespec="seconds"),
        "task": "filter",
        "fingerprint": compute_fingerprint(depends_on),
        "depends_on": dict(depends_on),
        "filtered": {
            "output": str(source),
            "fingerprint": run["fingerprint"],
            "task": run.get("task", "label"),
            "depends_on": run.get("depends_on", {}),
            "filtered": run.get("filtered"),
        },
        **{name: run[name] for name in _PROVENANCE if name in run},
        "host": platform.node(),
        "process": os.getpid(),
        "categories": plan.categories,
    }


def _find_states(parts: Sequence[AnyPath]) -> tuple[list[int], list[int]]:
    """Return bytes and times of parts; threads, as a store answers slowly."""

    def find(part: AnyPath) -> tuple[int, int]:
        with explain("cannot read", part, OutputError):
            state = part.stat()
        return state.st_size, state.st_mtime_ns

    with ThreadPoolExecutor(_READERS, thread_name_prefix="ovsam-parts") as pool:
        states = list(pool.map(find, parts))
    return [size for size, _ in states], [changed for _, changed in states]


def _blame(source: AnyPath, found: Iterator[_T]) -> Iterator[_T]:
    """Pass on what is read of the old output; a damaged part of it is not the new folder's.

    As a DamagedPartError it would be taken for one that the new folder is to set aside.
    """
    try:
        yield from found
    except DamagedPartError as error:
        raise OutputError(
            f"cannot filter {source}: its part {error.name} is damaged ({error.reason}); the next "
            "ovsam label into it sets that aside and labels its images again"
        ) from error


def _count_empty(table: pa.Table) -> int:
    return int(pc.sum(pc.equal(table["status"], "empty")).as_py() or 0)
