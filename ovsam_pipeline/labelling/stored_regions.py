"""The regions of an earlier output: a source of boxes, and of the masks that keep their place.

Input: an output folder of `ovsam label`. Output: for each image the boxes (or points) that
prompted its objects, as Detections; and, given a new prediction for them, the same objects with
new labels. Reads footers and class names when made, rows as they are asked for.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam.errors import ConfigError, ImageError
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage, compute_fingerprint
from ovsam_pipeline.labelling.choice import choose_label
from ovsam_pipeline.labelling.objects import collect_opinions, describe_label, read_halves
from ovsam_pipeline.labelling.risk import assess_objects
from ovsam_pipeline.labelling.rules import LabelRules
from ovsam_pipeline.output.done_index import PartIndex, build_done_index, compute_key
from ovsam_pipeline.output.folder import is_output, list_parts, read_run_file
from ovsam_pipeline.output.parts import iterate_part_rows, read_part_index
from ovsam_pipeline.output.place import parse_output
from ovsam_pipeline.records import ImageRecord, LabelRecord, ObjectRecord
from ovsam_pipeline.sources.spool import ImageSpool
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    from ovsam.structures import Prediction
    from ovsam_pipeline.settings.label import LabelConfig

logger = logging.getLogger(__name__)

_NAMES_COLUMN = "objects.list.element.detector_category"


def locate_regions(config: LabelConfig) -> AnyPath:
    """Return the output folder whose objects get new labels."""
    if config.relabel is None:
        raise ConfigError("expected --relabel OUT, an output folder of ovsam label")
    return parse_output(config.relabel)


def read_labelled_run(output: AnyPath) -> dict[str, Any]:
    """Return run.json of an output folder of `ovsam label`."""
    run = read_run_file(output) if is_output(output) else {}
    if "fingerprint" not in run:
        raise ConfigError(
            f"expected behind --relabel an output folder of ovsam label, got {output}"
        )
    if run.get("task") == "detect":
        raise ConfigError(
            f"{output} holds boxes of ovsam detect and no masks to keep; run ovsam label "
            f"--detector boxes:{output}"
        )
    return run


class StoredRegions(Detector):
    """The objects of an output folder, as a detector gives them."""

    device = "cpu"

    def __init__(self, output: AnyPath) -> None:
        self.output = output
        self.run = read_labelled_run(output)
        self.name = f"the regions of {output}"
        self.fingerprint = compute_fingerprint("regions", self.run["fingerprint"])
        indices: dict[str, PartIndex] = {}
        names: set[str] = set()
        for part in list_parts(output):
            indices[part.name] = read_part_index(part)
            for row in iterate_part_rows(part, (_NAMES_COLUMN,)):
                names.update(item["detector_category"] or "" for item in row["objects"] or ())
        self._places, _ = build_done_index(indices)
        # A class map may name classes of the detector that no object was found of.
        known = self.run.get("class_names") or ()
        self.class_names = tuple(dict.fromkeys((*known, *sorted(names - {""})))) or None
        # Images come in the order in which the parts were written, in two stages close together.
        self._read_part = lru_cache(maxsize=4)(self._read_part_once)

    def choose_images(self, images: Iterable[ImageRecord]) -> ImageSpool:
        """Return the images that have a row here; say how many have none."""
        known, num_images = ImageSpool(), 0
        for image in images:
            num_images += 1
            if self._places.find_place(image.file_name) is not None:
                known.append(image)
        if not len(known):
            raise ConfigError(
                f"none of the {num_images} images is in {self.output}; give the sources that it "
                "was made from"
            )
        if len(known) < num_images:
            logger.warning(
                "%d of %d images are not in %s and are left out: they have no regions yet",
                num_images - len(known), num_images, self.output,
            )  # fmt: skip
        return known

    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Return the prompts of the stored objects; see `Detector.detect`."""
        return [self._find_prompts(image) for image in images]

    def relabel(
        self,
        image: ImageRecord,
        prediction: Prediction,
        found: Detections,
        rules: LabelRules,
    ) -> tuple[tuple[ObjectRecord, ...], Counter[str]]:
        """Return the stored objects of an image with new labels; all else stays as it was.

        Rules of classes alone let objects go; they are counted by reason.
        """
        relabelled, opinions, halves = [], [], read_halves(prediction)
        for row, item in enumerate(self._read_row(image).objects):
            assert isinstance(item, ObjectRecord)
            label = choose_label(prediction, found, rules, row)
            fields = describe_label(prediction, rules, row, label, halves)
            relabelled.append(replace(item, **fields))
            opinions.append(collect_opinions(prediction, rules, row, label, halves))
        return rules.keep_by_class(assess_objects(relabelled, opinions))

    def _find_prompts(self, image: DetectorImage) -> Detections:
        row = self._read_row(image.record)
        if row.status == "failed":
            raise ImageError(f"no regions in {self.output}: {row.error}")
        height, width = image.rgb.shape[:2]
        if (row.width, row.height) != (width, height):
            raise ImageError(
                f"expected an image of {row.width} x {row.height} pixels as in {self.output}, got "
                f"{width} x {height}; label it again with ovsam label"
            )
        objects = [item for item in row.objects if isinstance(item, ObjectRecord)]
        if not objects:
            return Detections.empty(with_categories=self.class_names is not None)
        prompts = [item.prompt for item in objects]
        points = [item.detector_point_xy for item in prompts if item.detector_point_xy]
        return Detections(
            np.array([item.detector_box_xyxy for item in prompts], np.float32),
            np.array([item.detector_score for item in prompts], np.float32),
            tuple(item.detector_category for item in prompts) if self.class_names else None,
            np.array(points, np.float32) if len(points) == len(prompts) else None,
        )

    def _read_row(self, image: ImageRecord) -> LabelRecord:
        """Return the row of an image."""
        place = self._places.find_place(image.file_name)
        if place is None:
            raise ImageError(f"no regions in {self.output}: the image is not in it")
        identity, part, position = place
        if identity != compute_key(image.identity):
            raise ImageError(
                f"the image changed since {self.output} was made; label it again with ovsam label"
            )
        rows = self._read_part(part)
        row = rows[position] if position < len(rows) else None
        if row is None or row.file_name != image.file_name:
            raise ImageError(f"{self.output} was changed by another run; start again")
        return row

    def _read_part_once(self, name: str) -> tuple[LabelRecord, ...]:
        path = next((path for path in list_parts(self.output) if path.name == name), None)
        rows = () if path is None else iterate_part_rows(path)
        return tuple(LabelRecord.from_row(row) for row in rows)
