"""The output folder: lock, parts, failures, run.json, and the rules of resuming a run.

    OUT/parts/part-<key>.parquet   one row per image, see `parts.py`
    OUT/parts/bad/                 damaged parts that were set aside
    OUT/annotations.json           built from the parts by `export/coco.py`; where somebody edited
                                   that, annotations.ovsam.json, see `annotations_file.py`
    OUT/failures.jsonl             built from the parts, one line per failed image
    OUT/run.json                   provenance, settings, counts, timings, and what people certified
    OUT/status.json                progress of the run, by `monitoring/run_state.py`
    OUT/retrying.json              what --retry-failed has taken out and not labelled yet
    OUT/.lock                      held by the run that writes, see `lock.py`

OUT is a local folder or a prefix of an object store.

A row is in the output from the moment its part has its final name. Rows of changed images are
removed before their images are labelled again, so that no moment shows an image twice.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, Self

import numpy as np
import pyarrow as pa

from ovsam.checked_json import check_keys, parse_json, refuse_pipe
from ovsam.errors import ConfigError, describe_error, explain
from ovsam.strict import convert
from ovsam_pipeline.errors import DamagedPartError, OutputError
from ovsam_pipeline.output.annotations_file import ANNOTATIONS_FILE, choose_annotations
from ovsam_pipeline.output.checked_labels import CALIBRATION_FILE, CERTIFIED, carry_certificate
from ovsam_pipeline.output.difference import explain_difference
from ovsam_pipeline.output.done_index import DoneIndex, PartIndex, build_done_index
from ovsam_pipeline.output.lock import has_lock, take_lock
from ovsam_pipeline.output.parts import (
    drop_part_rows,
    iterate_part_rows,
    read_part,
    read_part_index,
    read_whole_part,
    write_part_table,
)
from ovsam_pipeline.storage.atomic import sweep_temporary_files, sync_folder, write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
RETRYING_FILE = "retrying.json"
STATUS_FILE = "status.json"
FAILURES_FILE = "failures.jsonl"
PREVIEW_FOLDER = "preview"
DEMO_TASK = "demo"
"""The task, in run.json, of an output whose rows are what people accepted in `ovsam demo`."""
# Of files by which the workers of a cluster show that they see the folder.
PROBE_PREFIX = ".probe-"
_PARTS_FOLDER, _BAD_FOLDER = "parts", "bad"
_READERS, _READERS_OF_STORES = 4, 32
_OVERWRITE = (
    "move it away, which loses no labels, or label everything again with --on-existing overwrite"
)
# What ovsam reads of run.json, by key; more may be there.
_SETTINGS = {
    "sources": tuple[str, ...],
    "image_root": str | None,
    "vocabulary": str,
    "model": str,
    "labels": str,
    "detector": str,
}
_RUN_KEYS = {
    "ovsam": str,
    "state": str,
    "task": str,
    "error": str | None,
    "fingerprint": str,
    "depends_on": {"conf": float, "max_det": int, "task": str, "detector": str},
    "working_folder": str,
    "settings": _SETTINGS,
    "resolved": _SETTINGS,
    CERTIFIED: dict,
    "categories": [{"id": int, "name": str}],
    "class_names": tuple[str, ...] | None,
    "detector": {"name": str},
    "model": dict,
    "vocabulary": dict,
    "run": {"exit_code": int | None, "seconds": float},
    "images_per_s": float,
    "dropped_boxes": dict,
    "started": str,
    "finished": str,
    "phase_seconds": dict[str, float],
    "host": str,
    "process": int,
    "engine": str | None,
}


class OutputFolder:
    """An output folder that this process holds; use as a context manager.

    An OutputLockedError where another run holds it.
    """

    def __init__(self, path: AnyPath, process: int | None = None) -> None:
        self.path = path
        self.parts_folder = path / _PARTS_FOLDER
        # Whether parts have failed rows, by name: what was read once is not read again at the end.
        self._has_failed: dict[str, bool] = {}
        with explain("cannot use the output folder", path, OutputError):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(path, process=process)
            self.parts_folder.mkdir(exist_ok=True)
        for folder in (path, self.parts_folder):
            sweep_temporary_files(folder)
        remove_probes(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        try:
            if isinstance(error, DamagedPartError):
                # Found when rows were read: the next run labels its images again.
                self.set_aside(error)
        finally:
            self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def check_lock(self) -> None:
        """Raise an OutputError where the lease on a store has expired: another run may write."""
        self._lock.check()

    def prepare(self, fingerprint: str, described: Mapping[str, Any], on_existing: str) -> None:
        """Check that new rows may join the old ones, or remove the old ones.

        The fingerprint is of everything that changes labels; `described` has the same in words, as
        `explain_difference` takes it. `on_existing` is "resume", "overwrite" or "error".
        """
        if on_existing == "overwrite":
            self._remove_results()
            return
        self.refuse_existing(on_existing)
        run = read_run_file(self.path)
        is_labelling = "task" not in described.get("depends_on", {})
        if run.get("task") == DEMO_TASK and is_labelling:
            self._take_over(fingerprint)
            return
        if run.get("fingerprint", fingerprint) != fingerprint:
            raise explain_difference(self.path, run, described)

    def _take_over(self, fingerprint: str) -> None:
        """Let a run label the images of a demo: its rows stay until their images are labelled.

        What people accepted are answers too: these win over the labels that come.
        """
        logger.info(
            "%s holds what people accepted in `ovsam demo`: its images are labelled, and the "
            "accepted objects stay as answers",
            self.path,
        )
        for part in list_parts(self.path):
            index, table = read_whole_part(part)
            if index.fingerprint != fingerprint:
                # An identity that no image has: the row is that of an image that changed.
                changed = replace(
                    index, fingerprint=fingerprint, identities=np.zeros_like(index.identities)
                )
                write_part_table(part, table, changed)

    def refuse_existing(self, on_existing: str) -> None:
        """Refuse results that are here already where `on_existing` is "error"."""
        if on_existing == "error" and (read_run_file(self.path) or list_parts(self.path)):
            raise ConfigError(
                f"{self.path} already holds results; give another -o, or --on-existing resume"
            )

    def read_done(self, fingerprint: str) -> DoneIndex:
        """Return the rows that exist; read from footers.

        Where two parts have a row of one image (a part copied by hand, a worker that was thought
        lost), the one in the second part is removed.
        """
        indices = dict(self._read_indices(list_parts(self.path)))
        if any(index.fingerprint != fingerprint for index in indices.values()):
            raise explain_difference(self.path, {}, {})
        done, doubled = build_done_index(indices)
        if not doubled:
            return done
        num_rows = sum(len(positions) for positions in doubled.values())
        logger.warning("rows of %s that stood twice: %d; one of each is kept", self.path, num_rows)
        self.drop_rows(doubled)
        # Rewritten parts have other positions.
        return self.read_done(fingerprint)

    def set_aside(self, damage: DamagedPartError) -> None:
        """Move a damaged part to parts/bad, where nothing reads it; its images have no row then."""
        self.check_lock()
        part, folder = self.parts_folder / damage.name, self.parts_folder / _BAD_FOLDER
        with explain("cannot set aside", part, OutputError):
            folder.mkdir(exist_ok=True)
            target = folder / damage.name
            while target.exists():
                target = folder / f"again-{target.name}"
            if isinstance(part, RemotePath):
                (folder / target.name).write_bytes(part.read_bytes())
                part.unlink()
            else:
                part.replace(folder / target.name)
                sync_folder(folder)
        self._has_failed.pop(damage.name, None)
        logger.warning(
            "%s is damaged (%s): set aside in %s, and its images are labelled again",
            part, damage.reason, folder,
        )  # fmt: skip

    def reconcile(self, accepted: Set[str], fingerprint: str) -> None:
        """Remove doubled rows where there is a part besides the `accepted` ones, given by name.

        A worker that was given up, or one of a run that was killed, may have written its part late.
        """
        known = accepted | self._has_failed.keys()
        if any(part.name not in known for part in list_parts(self.path)):
            self.read_done(fingerprint)

    def drop_rows(self, stale: Mapping[str, Iterable[int]]) -> None:
        """Remove rows, given by part name and positions."""
        self.check_lock()
        for part, positions in stale.items():
            self._has_failed.pop(part, None)
            drop_part_rows(self.parts_folder / part, positions)

    def read_image_id(self, part: str, position: int) -> int:
        """Return the image id of one row."""
        rows = iterate_part_rows(self.parts_folder / part, ("image_id",))
        return int(next(islice(rows, position, None))["image_id"])

    def read_names(self, part: str) -> list[str]:
        """Return the file names of a part, row by row."""
        rows = iterate_part_rows(self.parts_folder / part, ("file_name",))
        return [row["file_name"] for row in rows]

    def read_failed(self) -> set[str]:
        """Return the images whose row failed, and those of a retry that was cut off."""
        path = self.path / RETRYING_FILE
        rows = iterate_rows(self.path, ("file_name", "status"))
        failed = {row["file_name"] for row in rows if row["status"] == "failed"}
        try:
            refuse_pipe(path)
            names = parse_json(path.read_text(encoding="utf-8"))
            return failed.union(convert(tuple[str, ...], names, "the list"))
        except FileNotFoundError:
            return failed
        except (OSError, ValueError, TypeError) as error:
            raise OutputError(
                f"cannot read {path}, the images of a retry that was cut off: "
                f"{describe_error(error)}; remove it, and run ovsam label SOURCES -o {self.path}"
            ) from error

    def start_retry(self, file_names: Iterable[str]) -> None:
        """Write down which failed images are retried.

        Their rows are removed before they are labelled again. If the run is cut off in between,
        nothing else records that they ever failed, and the same command would find nothing to do.
        """
        content = json.dumps(sorted(file_names), ensure_ascii=False).encode()
        write_atomically(self.path / RETRYING_FILE, content)

    def end_retry(self) -> None:
        """Remove the list of `start_retry`: all its images have a row."""
        path = self.path / RETRYING_FILE
        with explain("cannot remove", path, OutputError):
            path.unlink(missing_ok=True)

    def write_run_file(self, values: Mapping[str, Any]) -> None:
        """Replace run.json: one top-level key per line. What people certified stays in it."""
        self.check_lock()
        with suppress(OutputError):  # a damaged one holds nothing to keep
            values = carry_certificate(values, read_run_file(self.path))
        lines = [
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
            for key, value in values.items()
        ]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        write_atomically(self.path / RUN_FILE, text.encode("utf-8"))

    def write_failures(self) -> int:
        """Rebuild failures.jsonl from the failed rows; return how many there are."""
        self.check_lock()
        lines = []
        parts = list_parts(self.path)
        for _ in self._read_indices([part for part in parts if part.name not in self._has_failed]):
            pass
        for part in parts:
            if not self._has_failed.get(part.name):
                continue
            for row in iterate_part_rows(part, ("image_id", "file_name", "status", "error")):
                if row.pop("status") == "failed":
                    row["reason"] = row.pop("error")
                    lines.append(json.dumps(row, ensure_ascii=False))
        lines.sort()
        write_atomically(self.path / FAILURES_FILE, "".join(f"{x}\n" for x in lines).encode())
        return len(lines)

    def _read_indices(self, parts: Sequence[AnyPath]) -> Iterator[tuple[str, PartIndex]]:
        """Yield name and index of parts in order."""
        # Threads, as a store answers slowly.
        num_threads = _READERS_OF_STORES if isinstance(self.path, RemotePath) else _READERS
        with ThreadPoolExecutor(num_threads, thread_name_prefix="ovsam-footers") as pool:
            for part, index in zip(parts, pool.map(_read_or_blame, parts), strict=True):
                if isinstance(index, DamagedPartError):
                    self.set_aside(index)
                    continue
                self._has_failed[part.name] = bool(index.is_failed.any())
                yield part.name, index

    def _remove_results(self) -> None:
        with explain("cannot empty", self.path, OutputError):
            for part in list_parts(self.path):
                part.unlink()
            # Corrections that somebody made stay.
            annotations = choose_annotations(self.path)
            annotations.unlink(missing_ok=True)
            for name in (FAILURES_FILE, RETRYING_FILE):
                (self.path / name).unlink(missing_ok=True)
            self._empty_run_file()
            previews = self.path / PREVIEW_FOLDER
            if isinstance(previews, RemotePath):
                for picture in previews.iterdir():
                    picture.unlink(missing_ok=True)
            elif previews.is_dir():
                shutil.rmtree(previews)

    def _empty_run_file(self) -> None:
        """Remove run.json, but for what people certified: the next labels may be the same."""
        certified: dict[str, Any] = {}
        with suppress(OutputError):
            certified = carry_certificate({}, read_run_file(self.path))
        if certified:
            self.write_run_file(certified)
        else:
            (self.path / RUN_FILE).unlink(missing_ok=True)


def remove_probes(folder: AnyPath, name: str = PROBE_PREFIX) -> None:
    """Remove probes whose names begin so; without a name all, which a killed driver left."""
    if isinstance(folder, RemotePath):
        return
    for path in folder.glob(f"{name}*"):
        with suppress(OSError):
            path.unlink()


def list_parts(output: AnyPath) -> list[AnyPath]:
    """Return the parts of an output folder, by name."""
    folder = output / _PARTS_FOLDER
    with explain("cannot list", folder, OutputError):
        parts: list[AnyPath] = [*folder.glob("part-*.parquet")]
    return sorted(parts, key=lambda part: part.name)


def iterate_rows(output: AnyPath, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield every row of an output folder, or some columns of it, part after part."""
    for part in list_parts(output):
        yield from iterate_part_rows(part, columns)


def iterate_rows_of(output: AnyPath, file_names: Container[str]) -> Iterator[dict[str, Any]]:
    """Yield the whole rows of some images; of parts without any of them names alone are read."""
    for part in list_parts(output):
        rows = iterate_part_rows(part, ("file_name",))
        is_wanted = [row["file_name"] in file_names for row in rows]
        if any(is_wanted):
            table = read_part(part, lambda file: file.read())
            # Most rows of a part stay columns: as Python objects they are slow.
            yield from table.filter(pa.array(is_wanted)).to_pylist()


def read_run_file(output: AnyPath) -> dict[str, Any]:
    """Return run.json with keys of the types that they must have, or {} where there is none."""
    path = output / RUN_FILE
    try:
        refuse_pipe(path)
        values = parse_json(path.read_text(encoding="utf-8"))
        check_keys(values, _RUN_KEYS, "run.json")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OutputError(f"cannot read {path}: {describe_error(error)}") from error
    except ValueError as error:  # also a ConfigError
        raise OutputError(f"cannot read {path}: {error}; {_OVERWRITE}") from error
    found: dict[str, Any] = values
    return found


def is_output(path: AnyPath) -> bool:
    """Whether a run has used this folder as its output, however it ended."""
    with explain("cannot list", path, OutputError):
        is_known = has_lock(path)
    return is_known or _has_own_run_file(path) or bool(list_parts(path))


def check_writable(path: AnyPath) -> None:
    """Refuse a new local output that cannot be made: no rights, or a file in its place."""
    if isinstance(path, RemotePath):
        return
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise OutputError(
            f"cannot use the output folder {path}: {there} is a file; give another -o"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot use the output folder {path}: {there} cannot be written by this user; "
            "choose another"
        )


def is_own_file(path: AnyPath) -> bool:
    """Whether a file is what an output folder is made of, and no export of its labels."""
    own = (RUN_FILE, STATUS_FILE, RETRYING_FILE, CALIBRATION_FILE)
    return path.name in own and is_output(path.parent)


def check_own_files(path: AnyPath) -> None:
    """Refuse a folder with files that ovsam did not write under names that a run replaces."""
    names = (ANNOTATIONS_FILE, FAILURES_FILE, RUN_FILE, STATUS_FILE, PREVIEW_FOLDER)
    foreign = _find_names(path, names)
    if foreign and not is_output(path):
        raise ConfigError(
            f"{path} holds {' and '.join(foreign)} that ovsam did not write and would replace; "
            "give another folder as -o"
        )


def _read_or_blame(part: AnyPath) -> PartIndex | DamagedPartError:
    try:
        return read_part_index(part)
    except DamagedPartError as error:
        return error


def _find_names(path: AnyPath, names: Sequence[str]) -> list[str]:
    """Return which of the names exist in a folder; one request for all of them on a store."""
    if not isinstance(path, RemotePath):
        return [name for name in names if os.path.lexists(path / name)]
    with explain("cannot list", path, OutputError):
        found = {child.name for child in path.iterdir()}
    return [name for name in names if name in found]


def _has_own_run_file(path: AnyPath) -> bool:
    try:
        return "ovsam" in read_run_file(path)
    except OutputError:
        return False
