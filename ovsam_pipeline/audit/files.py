"""Findings → OUTPUT/findings.jsonl, images.jsonl, PILE.json and summary.json.

Written finding by finding, so that masks are in memory for a moment only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.masks import compute_mask_areas
from ovsam_pipeline.audit.findings import KINDS, PILES, Finding, rank_images
from ovsam_pipeline.audit.opinions import AskedBoxes, FoundObjects
from ovsam_pipeline.evaluation.structures import GroundTruth
from ovsam_pipeline.storage.atomic import replace_file

FINDINGS_FILE, IMAGES_FILE, SUMMARY_FILE = "findings.jsonl", "images.jsonl", "summary.json"
# From this on a finding is worth a look before all others.
_LIKELY = 0.5


@dataclass(frozen=True, eq=False)
class Audited:
    """A data set, what is thought of it, and what was found; findings are ranked."""

    truth: GroundTruth
    found: FoundObjects
    asked: AskedBoxes | None
    findings: Sequence[Finding]

    def describe(self, finding: Finding) -> dict[str, Any]:
        """Return a finding as plain values: a line of findings.jsonl without its rank."""
        truth, row = self.truth, finding.truth_row
        described: dict[str, Any] = {
            "pile": finding.pile,
            "kind": finding.kind,
            "suspicion": finding.suspicion,
            "image_id": int(truth.image_ids[finding.image_index]),
            "file_name": truth.file_names[finding.image_index],
            "annotation_id": None if row < 0 else int(truth.annotation_ids[row]),
            "category": None if row < 0 else truth.name_class(row),
            "bbox": None if row < 0 else _round(truth.boxes_xywh[row]),
            "reason": finding.reason,
            "suggestion": self.suggest(finding),
        }
        if finding.also:
            described["also"] = list(finding.also)
        if finding.partner_row >= 0:
            described["partner_annotation_id"] = int(truth.annotation_ids[finding.partner_row])
        return described

    def suggest(self, finding: Finding) -> dict[str, Any] | None:
        """Return what should be in the annotation's place; None to take it away.

        Name, id of the data set's class, box, mask (RLE) and our score: those that should change.
        """
        truth, row = self.truth, finding.truth_row
        if finding.pile == "fewer" or finding.kind == "empty":
            return None
        name = truth.categories.names
        changed: dict[str, Any] = {}
        if finding.category_index >= 0:
            changed["category"] = name[finding.category_index]
            changed["category_id"] = int(truth.categories.ids[finding.category_index])
        elif self.asked is not None and finding.kind == "name":
            changed["category"] = self.asked.own_names[row]
        if self.asked is not None and finding.kind in ("name", "swapped"):
            changed["score"] = round(float(self.asked.own[row]), 4)
        return changed | self._suggest_shape(finding)

    def _suggest_shape(self, finding: Finding) -> dict[str, Any]:
        if finding.found_row >= 0:
            table, row = self.found.table, finding.found_row
            changed: dict[str, Any] = {"score": round(float(self.found.box_scores[row]), 4)}
        elif (
            finding.is_asked and self.asked is not None and self.asked.rows[finding.truth_row] >= 0
        ):
            table, row, changed = self.asked.table, int(self.asked.rows[finding.truth_row]), {}
        else:
            return {}
        changed["bbox"] = _round(table.boxes_xywh[row])
        if (item := table.segments.read(int(table.segment_rows[row]))) is not None:
            changed["segmentation"] = _to_text(item)
        return changed

    def count(self) -> dict[str, Any]:
        """Return counts of all findings and of likely ones, by kind, pile after pile."""
        every = Counter(finding.kind for finding in self.findings)
        likely = Counter(f.kind for f in self.findings if f.suspicion >= _LIKELY)
        return {kind: {"all": every[kind], "likely": likely[kind]} for kind in KINDS if every[kind]}


def write_findings(path: Path, audited: Audited) -> None:
    """Write one JSON object a line, the most suspicious first."""
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for rank, finding in enumerate(audited.findings, 1):
            line = {"rank": rank, **audited.describe(finding)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_images(path: Path, audited: Audited) -> None:
    """Write the images that have findings, those most likely to have an error first."""
    truth = audited.truth
    suspicions = np.array(rank_images(list(audited.findings), truth.num_images))
    counts = Counter(finding.image_index for finding in audited.findings)
    order = np.argsort(-suspicions, kind="stable").tolist()
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for index in order:
            if counts[index]:
                line = {
                    "image_id": int(truth.image_ids[index]),
                    "file_name": truth.file_names[index],
                    "suspicion": round(float(suspicions[index]), 4),
                    "findings": counts[index],
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_piles(folder: Path, audited: Audited) -> list[Path]:
    """Write each pile that has findings as a COCO data set; return the files.

    An annotation is as we suggest it, or the doubtful one itself where it should go, and brings
    kind, suspicion, reason and `annotation_id`, its id in the data set. Its own id is its place in
    the pile, the most suspicious first.
    """
    paths = []
    for pile in PILES:
        path = folder / f"{pile}.json"
        chosen = [finding for finding in audited.findings if finding.pile == pile]
        if not chosen:
            path.unlink(missing_ok=True)  # of an earlier audit
            continue
        with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(_iterate_coco(audited, pile, chosen))
        paths.append(path)
    return paths


def _iterate_coco(audited: Audited, pile: str, chosen: Sequence[Finding]) -> Iterator[str]:
    """Yield the text of a COCO file piece by piece."""
    truth = audited.truth
    info = {"description": f"ovsam audit of {truth.title}: {PILES[pile]}"}
    categories = [
        {"id": int(number), "name": name}
        for number, name in zip(truth.categories.ids, truth.categories.names, strict=True)
    ]
    yield f'{{"info": {_encode(info)},\n"categories": {_encode(categories)},\n"images": ['
    images = sorted({finding.image_index for finding in chosen})
    yield ",\n".join(_encode(_describe_image(truth, index)) for index in images)
    yield '],\n"annotations": [\n'
    for number, finding in enumerate(chosen, 1):
        separator = ",\n" if number > 1 else ""
        yield separator + _encode(_describe_annotation(audited, finding, number))
    yield "\n]}\n"


def _describe_image(truth: GroundTruth, index: int) -> dict[str, Any]:
    height, width = truth.image_sizes_hw[index].tolist()
    sizes = {"height": height, "width": width} if height > 0 and width > 0 else {}
    return {"id": int(truth.image_ids[index]), "file_name": truth.file_names[index], **sizes}


def _describe_annotation(audited: Audited, finding: Finding, number: int) -> dict[str, Any]:
    truth, row = audited.truth, finding.truth_row
    suggestion = audited.suggest(finding) or {}
    described: dict[str, Any] = {
        "id": number,
        "image_id": int(truth.image_ids[finding.image_index]),
        "iscrowd": 0,
    }
    if row >= 0:
        described["category_id"] = int(truth.categories.ids[truth.category_index[row]])
        described["bbox"] = _round(truth.boxes_xywh[row])
        described["area"] = round(float(truth.areas[row]), 2)
        if "bbox" not in suggestion and (item := truth.segments.read(int(truth.segment_rows[row]))):
            described["segmentation"] = _to_text(item)
    described |= {k: suggestion[k] for k in _COCO_KEYS if k in suggestion}
    if "bbox" in suggestion:
        described["area"] = compute_area(suggestion)
    more = {"kind": finding.kind, "suspicion": finding.suspicion, "reason": finding.reason}
    annotation_id = None if row < 0 else int(truth.annotation_ids[row])
    return {**described, **more, "annotation_id": annotation_id}


_COCO_KEYS = ("category_id", "bbox", "segmentation", "score")


def compute_area(suggestion: dict[str, Any]) -> float:
    """Return the pixels of a suggested mask, of its box without one."""
    if "segmentation" in suggestion:
        return float(compute_mask_areas([suggestion["segmentation"]])[0])
    return float(suggestion["bbox"][2] * suggestion["bbox"][3])


def _to_text(segmentation: Any) -> Any:
    """Return a stored segmentation as JSON has it: run lengths as text."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], bytes):
        return {"size": segmentation["size"], "counts": segmentation["counts"].decode("ascii")}
    return segmentation


def _round(box: np.ndarray) -> list[float]:
    return [round(float(value), 2) for value in box]


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
