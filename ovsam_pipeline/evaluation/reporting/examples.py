"""examples.json: what pages of results show of single objects, in a bounded file.

The most frequent confusions with examples of each, a matrix of the classes most often mistaken, and
the worst instances; each with truth and prediction as they were measured, and where its image is.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from ovsam.masks import to_rle
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reporting.cases import Case, Confusion, group_confusions, make_case
from ovsam_pipeline.evaluation.reporting.files import read_result_file
from ovsam_pipeline.evaluation.structures import GroundTruth, Predictions
from ovsam_pipeline.storage.atomic import write_atomically

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore
    from ovsam_pipeline.evaluation.scoring.instances import InstanceScores

logger = logging.getLogger(__name__)

EXAMPLES_FILE = "examples.json"
_FORMAT = 1
_MOST_PAIRS, _MOST_OF_A_PAIR = 200, 20
# Classes in the matrix: as many as a page shows without a scroll.
_MOST_IN_MATRIX = 30
# Outlines of 12-megapixel images: 4,000 examples of 5 kB would be more than a page should read.
_MOST_BYTES = 16 << 20


@dataclass
class _Examples:
    """What examples.json holds so far: images once each, and how large all of it is.

    Attributes:
        numbers: index of an image in the truth → its place in `images`.
    """

    truth: GroundTruth
    find_image: Callable[[int], Path | None]
    images: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    num_bytes: int = 0

    def add(self, case: Case) -> dict[str, Any] | None:
        """Return a case as plain values; None where the file is full."""
        if self.num_bytes > _MOST_BYTES:
            return None
        example = {
            "image": self._number(case.image_index),
            "truth": _describe_truth(self.truth, case.truth_row),
            "prediction": _describe_prediction(case),
            "iou": None if case.iou is None else round(case.iou, 4),
            "words": case.words,
        }
        self.num_bytes += len(orjson.dumps(example))
        return example

    def _number(self, index: int) -> int:
        """Return the place of an image in the list, where it is put at its first example."""
        if index not in self.numbers:
            height, width = self.truth.image_sizes_hw[index].tolist()
            self.numbers[index] = len(self.images)
            self.images.append(
                {
                    "id": int(self.truth.image_ids[index]),
                    "file_name": self.truth.file_names[index],
                    "path": _write_path(self.find_image(index)),
                    "height": height if height > 0 else None,
                    "width": width if width > 0 else None,
                }
            )
        return self.numbers[index]


def write_examples(
    path: Path,
    truth: GroundTruth,
    predictions: Predictions,
    instances: InstanceScores | None,
    worst: Sequence[Case],
    find_image: Callable[[int], Path | None],
    what: str = "mask",
) -> None:
    """Write examples.json: ≤ 200 pairs of classes with ≤ 20 examples each, about 16 MB at most.

    `instances`: how each annotation was answered, None where classes were not compared; its IoU is
    of masks or boxes (`what`). `worst`: from `choose_worst`. `find_image` returns the file of an
    image, given its index.
    """
    examples = _Examples(truth, find_image)
    shown = [found for case in worst if (found := examples.add(case)) is not None]
    pairs = [] if instances is None else group_confusions(truth, predictions, instances)
    content = {
        "format": _FORMAT,
        "iou_of": what,
        "worst": shown,
        "num_pairs": len(pairs),
        "confusions": _list_pairs(truth, predictions, instances, pairs, examples),
        "matrix": None if instances is None else count_matrix(truth, predictions, instances),
        "images": examples.images,
    }
    write_atomically(path, orjson.dumps(content))


def read_examples(path: Path) -> dict[str, Any] | None:
    """Return the content of examples.json; None where an earlier version wrote none.

    Raises:
        DatasetError: it cannot be read, or is another file.
    """
    if not path.exists():
        return None
    values = read_result_file(path, EXAMPLES_FILE)
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise DatasetError(
            f"expected {EXAMPLES_FILE} of ovsam eval in {path}, got another file; run ovsam eval "
            "again"
        )
    return values


def count_matrix(
    truth: GroundTruth, predictions: Predictions, instances: InstanceScores
) -> dict[str, Any]:
    """Return how the classes that were mistaken most were named: ≤ 30 classes, by mistakes.

    "counts" has a row a class of the truth and a column a predicted one; "others" and "missed"
    are of the same rows: named as a class without a column, and not found at all.
    """
    size = len(truth.categories)
    own = truth.category_index[instances.truth_rows]
    named = np.full(len(own), -1)
    answered = instances.has_answer
    named[answered] = predictions.category_index[instances.prediction_rows[answered]]
    is_mistaken = answered & ~instances.is_right
    mistakes = np.bincount(own[is_mistaken], minlength=size)
    mistakes += np.bincount(named[is_mistaken & (named >= 0)], minlength=size)
    chosen = np.argsort(-mistakes, kind="stable")[:_MOST_IN_MATRIX]
    chosen = chosen[mistakes[chosen] > 0]
    # Places of classes in the matrix; the last is that of all that have none.
    place = np.full(size + 1, len(chosen))
    place[chosen] = np.arange(len(chosen))
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1), np.int64)
    np.add.at(counts, (place[own[answered]], place[named[answered]]), 1)
    missed = np.bincount(place[own[~answered]], minlength=len(chosen) + 1)
    return {
        "classes": [truth.categories.names[index] for index in chosen.tolist()],
        "counts": counts[:-1, :-1].tolist(),
        "others": counts[:-1, -1].tolist(),
        "missed": missed[:-1].tolist(),
    }


def _list_pairs(
    truth: GroundTruth,
    predictions: Predictions,
    instances: InstanceScores | None,
    pairs: Sequence[Confusion],
    examples: _Examples,
) -> list[dict[str, Any]]:
    """Return the pairs with their examples: those of the highest score, the surest mistakes."""
    if instances is None:
        return []
    listed: list[dict[str, Any]] = []
    surest: list[list[int]] = []
    for pair in pairs[:_MOST_PAIRS]:
        positions = pair.positions
        scores = predictions.scores[instances.prediction_rows[positions]]
        best = heapq.nsmallest(_MOST_OF_A_PAIR, range(len(positions)), key=(-scores).__getitem__)
        surest.append(positions[best].tolist())
        count = len(positions)
        listed.append(
            {"truth": pair.truth, "predicted": pair.predicted, "count": count, "examples": []}
        )
    # One of each pair before the second of any: where the file is full, every pair has some.
    for turn in range(_MOST_OF_A_PAIR):
        for described, chosen in zip(listed, surest, strict=True):
            if turn < len(chosen):
                case = make_case(truth, predictions, instances, chosen[turn])
                if (example := examples.add(case)) is None:
                    logger.info(
                        "%s holds %d MB: no more examples", EXAMPLES_FILE, _MOST_BYTES >> 20
                    )
                    return listed
                described["examples"].append(example)
    return listed


def _describe_truth(truth: GroundTruth, row: int | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "annotation_id": int(truth.annotation_ids[row]),
        "category": truth.name_class(row),
        "bbox": _round(truth.boxes_xywh[row]),
        "segmentation": _read_segmentation(truth.segments, int(truth.segment_rows[row])),
    }


def _describe_prediction(case: Case) -> dict[str, Any] | None:
    row, predictions = case.prediction_row, case.predictions
    if row is None:
        return None
    return {
        "category": str(predictions.labels[row]),
        "score": round(float(predictions.scores[row]), 4),
        "bbox": _round(predictions.boxes_xywh[row]),
        "segmentation": _read_segmentation(
            predictions.segments, int(predictions.segment_rows[row])
        ),
    }


def _write_path(path: Path | None) -> str | None:
    """Return an absolute path as text; None for one whose bytes are no text, as in no JSON file."""
    if path is None:
        return None
    text = str(path.absolute())
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return text


def _round(box_xywh: np.ndarray) -> list[float]:
    return [round(value, 2) for value in box_xywh.tolist()]


def _read_segmentation(segments: SegmentStore, row: int) -> Any:
    """Return polygons or compressed run lengths as text; None where there is no mask."""
    item = segments.read(row)
    if not isinstance(item, dict):
        return item or None
    try:
        rle = to_rle(item, -1, -1)
    except ValueError:  # it overlapped nothing, and has nothing to be drawn
        return None
    counts = rle["counts"]
    return {
        "size": [int(side) for side in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }
