"""What the parts of an output hold: counts of images and objects, and ids for annotations.

Annotation ids count from 1 over the images in order of their id, so they do not depend on how rows
are spread over parts. Memory: 20 bytes per image.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.outcomes import is_transient
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.output.part_tables import iterate_tables
from ovsam_pipeline.records import STATUSES
from ovsam_pipeline.storage.remote_path import AnyPath

# Only the number of objects is needed, so of them the smallest column that labels and boxes have.
COUNTED_COLUMNS = ("image_id", "status", "error", "objects.list.element.detector_score")
# Rows numbered at once: temporary arrays of 8 MB instead of as many as there are rows.
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class OutputCounts:
    """What an output folder holds: images by status, and objects.

    `transient` are the failed ones that the next run tries again.
    """

    labelled: int = 0
    empty: int = 0
    failed: int = 0
    objects: int = 0
    transient: int = 0

    @property
    def images(self) -> int:
        """Number of rows."""
        return self.labelled + self.empty + self.failed

    def to_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return {"images": self.images, **asdict(self)}


class RowCounts:
    """Counts rows, table after table; then numbers their annotations, once."""

    def __init__(self) -> None:
        # They grow in place; a list of NumPy arrays would be copied at the end.
        self._image_ids = array("q")
        self._num_objects = array("i")
        self._statuses: Counter[str] = Counter()
        self._transient = 0

    def add(self, table: pa.Table) -> None:
        """Count the rows of a table with COUNTED_COLUMNS."""
        self._image_ids.frombytes(table["image_id"].to_numpy().tobytes())
        self._num_objects.frombytes(count_objects(table).astype(np.int32).tobytes())
        for found in pc.value_counts(table["status"]).to_pylist():
            self._statuses[found["values"]] += found["counts"]
        for found in pc.value_counts(table["error"]).to_pylist():
            self._transient += found["counts"] * is_transient(found["values"])

    def summarise(self) -> OutputCounts:
        """Return the totals."""
        num_objects = np.frombuffer(self._num_objects, np.int32)
        return OutputCounts(
            **{name: self._statuses[name] for name in STATUSES},
            objects=int(num_objects.sum()),
            transient=self._transient,
        )

    def number_annotations(self, output: AnyPath) -> np.ndarray:
        """Return the id of the first annotation of each row, in the order of rows: (N,) int64.

        Use it last: the image ids are overwritten. `output` is named in errors.
        """
        image_ids = np.frombuffer(self._image_ids, np.int64)
        num_objects = np.frombuffer(self._num_objects, np.int32)
        order = np.argsort(image_ids)
        _check_unique(image_ids, order, output)
        first_ids, next_id = image_ids, 1
        for start in range(0, len(order), _AT_ONCE):
            rows = order[start : start + _AT_ONCE]
            ends = next_id + np.cumsum(num_objects[rows], dtype=np.int64)
            first_ids[rows] = ends - num_objects[rows]
            next_id = int(ends[-1])
        return first_ids


def count_output(output: AnyPath) -> OutputCounts:
    """Return how many images and objects the parts of an output folder hold."""
    counts = RowCounts()
    for table in iterate_tables(list_parts(output), COUNTED_COLUMNS):
        counts.add(table)
    counts.number_annotations(output)
    return counts.summarise()


def count_objects(table: pa.Table) -> np.ndarray:
    """Return the objects of each row: (N,) int64."""
    lengths = pc.fill_null(pc.list_value_length(table["objects"]), 0)
    return lengths.to_numpy().astype(np.int64)


def _check_unique(image_ids: np.ndarray, order: np.ndarray, output: AnyPath) -> None:
    for start in range(0, len(order), _AT_ONCE):
        some = image_ids[order[start : start + _AT_ONCE + 1]]
        repeated = np.flatnonzero(some[1:] == some[:-1])
        if len(repeated):
            raise OutputError(
                f"two rows of {output} have the image id {some[repeated[0]]}; the next ovsam label "
                "into this output keeps one of each"
            )
