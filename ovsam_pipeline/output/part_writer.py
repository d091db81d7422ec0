"""Rows as they come → parts of the output folder, each committed whole."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.parts import SCHEMA, write_part
from ovsam_pipeline.records import LabelRecord
from ovsam_pipeline.storage.remote_path import AnyPath


class PartWriter:
    """Collects rows and commits them as a part when enough, or old enough, are together.

    Attributes and arguments:
        folder: OUT/parts.
        fingerprint: of the run.
        max_images: rows in a full part.
        max_seconds: age of the oldest row at which a part is committed though not full.
        schema: SCHEMA for labels, BOX_SCHEMA for boxes alone.
        guard: called before a commit; raises where the output is no longer ours. It stays behind
            when a writer is sent to another process.
    """

    def __init__(
        self,
        folder: AnyPath,
        fingerprint: str,
        *,
        max_images: int,
        max_seconds: float,
        schema: pa.Schema = SCHEMA,
        guard: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._guard = guard
        self.max_images = max_images
        self._max_seconds = max_seconds
        self._schema = schema
        self._rows: list[LabelRecord] = []
        self._oldest_s = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the guard."""
        return {**self.__dict__, "_guard": None}

    def without_limits(self) -> PartWriter:
        """Return an empty writer for the same place that commits only when it is told to."""
        return PartWriter(
            self.folder,
            self.fingerprint,
            max_images=sys.maxsize,
            max_seconds=math.inf,
            schema=self._schema,
            guard=self._guard,
        )

    def has_part(self, name: str) -> bool:
        """Whether a part of this name was committed, by whomever.

        Raises:
            OutputError: the store cannot be asked.
        """
        path = self.folder / name
        try:
            return path.exists()
        except OSError as error:
            raise OutputError(f"cannot look for {path}: {error.strerror or error}") from error

    def check(self) -> None:
        """Make sure that the output is still ours.

        Raises:
            OutputError: it is not.
        """
        if self._guard is not None:
            self._guard()

    def add(self, row: LabelRecord) -> bool:
        """Take a row; return whether that committed a part.

        Raises:
            OutputError: the part cannot be written.
        """
        if not self._rows:
            self._oldest_s = time.monotonic()
        self._rows.append(row)
        is_old = time.monotonic() - self._oldest_s >= self._max_seconds
        if len(self._rows) >= self.max_images or is_old:
            self.commit()
            return True
        return False

    def commit(self) -> str | None:
        """Write what is there; return the file name of the part, None where nothing was.

        Raises:
            OutputError: the part cannot be written.
        """
        if not self._rows:
            return None
        self.check()
        part = write_part(self.folder, self._rows, self.fingerprint, self._schema)
        self._rows = []
        return part.name
