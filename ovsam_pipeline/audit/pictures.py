"""The worst findings as pictures on a page: the annotation, ours, and what is doubtful."""

from __future__ import annotations

import logging
from pathlib import Path

from ovsam_pipeline.audit.files import Audited
from ovsam_pipeline.audit.findings import Finding
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.evaluation.datasets import Dataset
from ovsam_pipeline.evaluation.reporting.cases import Case
from ovsam_pipeline.evaluation.reporting.worst import write_cases
from ovsam_pipeline.sources.coco_file import read_coco_images

logger = logging.getLogger(__name__)


def write_pictures(folder: Path, dataset: Dataset, audited: Audited, count: int) -> list[Path]:
    """Draw the `count` worst findings as 01.jpg, … and index.html; return the pictures.

    None, with a note, where the images are not on this machine.
    """
    try:
        images = read_coco_images(dataset.annotations, dataset.image_root)
    except SourceError as error:
        logger.info("no pictures of the worst findings: %s", error)
        return []
    paths = {images.get_id(i): Path(str(images.get_place(i))) for i in range(len(images))}
    truth = audited.truth
    worst = audited.findings[:count]
    return write_cases(
        folder,
        truth,
        [_to_case(audited, finding) for finding in worst],
        lambda index: paths.get(int(truth.image_ids[index])),
        ("The {count} most doubtful of the data set", f"{len(audited.findings)} findings in all."),
    )


def _to_case(audited: Audited, finding: Finding) -> Case:
    row = None if finding.truth_row < 0 else finding.truth_row
    name = "" if row is None else f" {audited.truth.name_class(row)}"
    words = f"{finding.kind}{name} ({finding.suspicion:.2f}): {finding.reason}"
    found, asked = audited.found, audited.asked
    if finding.found_row >= 0:
        return Case(finding.image_index, row, finding.found_row, words, found.table)
    answer = None
    if asked is not None and row is not None and asked.rows[row] >= 0:
        answer = int(asked.rows[row])
    table = found.table if asked is None else asked.table
    return Case(finding.image_index, row, answer, words, table)
