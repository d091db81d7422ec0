"""Predictions made before → `Predictions`: a results file, a data set with scores, or an output.

Read in blocks into columns; what cannot be used is counted by kind and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ovsam.coco_json import iterate_json_blocks
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.class_map import ClassMap, map_by_id, map_classes
from ovsam_pipeline.evaluation.reading.columns import read_boxes, read_ids, read_numbers, to_id
from ovsam_pipeline.evaluation.reading.prediction_table import Columns, build_predictions
from ovsam_pipeline.evaluation.reading.result_blocks import ResultBlock, parse_results
from ovsam_pipeline.evaluation.reading.segment_checks import check_run_lengths, check_segmentations
from ovsam_pipeline.evaluation.structures import GroundTruth, Predictions, Problems, ScoreKind
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath


def read_predictions(
    path: AnyPath,
    truth: GroundTruth,
    *,
    class_map: Path | None = None,
    scores: ScoreKind = "stored",
) -> Predictions:
    """Read predictions of the images of a ground truth.

    Args:
        path: an output folder of `ovsam label`, a COCO results file, or a COCO data set whose
            annotations have scores; `.json` or `.json.gz`.
        truth: the ground truth.
        class_map: file of predicted name → name in the ground truth, for predictions that name
            their classes.
        scores: what ranks the predictions of an output folder; results files have one score only.

    Raises:
        DatasetError: the file cannot be read, is none of the three, a prediction lacks what it
            must have, or not one is of an image or class of the ground truth.
        OutputError: a part of an output folder cannot be read.
    """
    if path.is_dir():
        from ovsam_pipeline.evaluation.reading.output import read_output

        return read_output(path, truth, class_map=class_map, scores=scores)
    if isinstance(path, RemotePath):
        raise DatasetError(
            f"expected an output of ovsam label at {path}, found none there; a COCO results file "
            "is read from this machine: copy it here"
        )
    if not path.is_file():
        raise DatasetError(
            f"expected predictions in {path}, which is not there: give an output folder of "
            "ovsam label or a COCO results file"
        )
    reader = _Reader(path, truth)
    try:
        parsers = dict.fromkeys(("[]", "annotations[]"), parse_results)
        for key, value in iterate_json_blocks(path, parsers):
            reader.take(key, value)
    except DatasetError:  # a ValueError too, and already a sentence
        raise
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DatasetError(f"expected JSON in {path}, got {error}") from error
    if scores != "stored":
        reader.problems.add(
            f"predictions have one score: --scores {scores} does not apply to a results file",
            [],
            reader.num_read,
        )
    return reader.build(class_map)


class _Reader:
    """Collects results, whatever else the file holds."""

    def __init__(self, path: Path, truth: GroundTruth) -> None:
        self.path = path
        self.truth = truth
        self.keys: set[str] = set()
        self.categories: list[tuple[int, str]] = []
        self.columns = Columns()
        self.problems = Problems()
        self.num_read = 0
        self._id_of_name: dict[str, int] | None = None

    def take(self, key: str, value: Any) -> None:
        """Take one value of the top level, or a block of a list."""
        self.keys.add(key)
        if isinstance(value, ResultBlock):
            self._take_block(value)
        elif key in ("[]", "annotations[]"):
            self._take_results(value)
        elif key == "categories[]":
            self._take_categories(value)

    def _take_categories(self, categories: Sequence[Any]) -> None:
        for item in categories:
            number = to_id(item.get("id")) if isinstance(item, dict) else None
            if number is None or not isinstance(item.get("name"), str):
                raise DatasetError(
                    f"expected a whole number as id and a name in the categories of {self.path}, "
                    f"got {str(item)[:80]}"
                )
            self.categories.append((number, item["name"]))

    def _take_results(self, results: Sequence[Any]) -> None:
        first = self.num_read
        wrong = next((item for item in results if not isinstance(item, dict)), None)
        if wrong is not None:
            raise DatasetError(f"expected objects as results in {self.path}, got {wrong!r:.60}")

        def place(index: int) -> str:
            return f"result {first + index} of {self.path}"

        if not first:
            self._choose_kinds(bool(results[0].get("bbox")), bool(results[0].get("segmentation")))
        columns, problems = self.columns, self.problems
        images = [self._to_image_id(item.get("image_id")) for item in results]
        columns.add("image_id", read_ids(images, place, "image_id", problems))
        classes = [item.get("category_id") for item in results]
        columns.add("category_id", read_ids(classes, place, "category_id", problems))
        numbers = read_numbers([item.get("score") for item in results], place, "score")
        columns.add("score", numbers)
        prompts = [item.get("annotation_id", item.get("prompt_id")) for item in results]
        prompts = [-1 if number is None else number for number in prompts]
        columns.add("prompt_id", read_ids(prompts, place, "annotation_id", problems))
        columns.add("row", np.arange(first, first + len(results)))
        if self.columns.has_boxes:
            columns.add("bbox", read_boxes([item.get("bbox") for item in results]))
        if self.columns.has_masks:
            self._take_masks([item.get("segmentation") for item in results], images)
        self.num_read += len(results)

    def _choose_kinds(self, has_boxes: bool, has_masks: bool) -> None:
        """As the reference tools: the first result speaks for all."""
        self.columns.has_boxes, self.columns.has_masks = has_boxes, has_masks
        if not (has_boxes or has_masks):
            raise DatasetError(
                f"expected bbox or segmentation in result 0 of {self.path}, got neither"
            )

    def _take_block(self, block: ResultBlock) -> None:
        """Take plain results, as `_take_results` does any."""
        first, num, columns = self.num_read, len(block), self.columns
        if not first:
            self._choose_kinds(block.boxes_xywh is not None, block.masks is not None)
        columns.add("image_id", block.image_ids)
        columns.add("category_id", block.category_ids)
        columns.add("score", block.scores)
        columns.add("prompt_id", block.prompt_ids)
        columns.add("row", np.arange(first, first + num))
        if columns.has_boxes:
            boxes = block.boxes_xywh
            columns.add("bbox", np.full((num, 4), np.nan) if boxes is None else boxes)
        if columns.has_masks and block.masks is None:
            self._take_masks([None] * num, block.image_ids.tolist())
        elif columns.has_masks and block.masks is not None:
            readable, masks = check_run_lengths(
                block.masks,
                lambda i: f"result {first + i} (image {block.image_ids[i]})",
                self.problems,
            )
            columns.add("is_readable", readable)
            columns.add("size_hw", masks.sizes_hw.astype(np.int32))
            columns.segments.append_run_lengths(masks)
        self.num_read += num

    def _take_masks(self, segmentations: list[Any], images: Sequence[Any]) -> None:
        first = self.num_read
        without = [index for index, item in enumerate(segmentations) if not item]
        self.problems.add(
            "predictions have no segmentation, though others have: kept with an empty mask",
            [f"result {first + index} (image {images[index]})" for index in without[:3]],
            len(without),
        )
        readable, sizes_hw = check_segmentations(
            segmentations, lambda i: f"result {first + i} (image {images[i]})", self.problems
        )
        self.columns.add("is_readable", readable)
        self.columns.add("size_hw", sizes_hw.astype(np.int32))
        self.columns.segments.append_many(segmentations)

    def _to_image_id(self, value: Any) -> Any:
        """Return the id of an image that is named by its file, anything else as it is."""
        if not isinstance(value, str) or value.strip().isdecimal():
            return value
        if self._id_of_name is None:
            names = zip(self.truth.file_names, self.truth.image_ids.tolist(), strict=True)
            self._id_of_name = {}
            for name, image_id in names:
                if name:
                    path = PurePosixPath(name)
                    for text in (name, path.name, path.stem):
                        self._id_of_name.setdefault(text, image_id)
        self.problems.add("image_ids are written as file names", [value])
        return self._id_of_name.get(value, -1)

    def build(self, class_map: Path | None) -> Predictions:
        """Put the columns together."""
        if not self.keys & {"", "annotations"}:
            raise DatasetError(
                f"expected a list of results or a data set with scored annotations in "
                f"{self.path}, got an object without annotations"
            )
        return build_predictions(
            str(self.path),
            self.truth,
            self.columns,
            self._map_classes(class_map),
            self.problems,
        )

    def _map_classes(self, class_map: Path | None) -> ClassMap:
        own = map_by_id(self.truth.categories)
        if class_map is None and all(own.names.get(n) == name for n, name in self.categories):
            return own
        return map_classes(self.categories or list(own.names.items()), self.truth.categories,
                           class_map)  # fmt: skip
