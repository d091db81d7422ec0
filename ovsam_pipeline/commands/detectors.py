"""`ovsam detectors`: the detectors with a name: classes, cost, accuracy, licence, what is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ovsam_pipeline.commands.options import Json
from ovsam_pipeline.terminal.tables import format_table

if TYPE_CHECKING:
    from pathlib import Path

    from ovsam_pipeline.detectors.official.weights import DetectorFacts

_CLASSES = {"coco": "80, COCO", "lvis": "1,203, LVIS", "any": "any", "none": "none"}
_FACTS = ("name", "classes", "parameters_m", "gmacs", "box_ap", "box_ap_on", "source")


class DetectorRow(NamedTuple):
    """A detector with a name; `size_gb` is that of a download."""

    facts: DetectorFacts
    licence: str
    paths: tuple[Path, ...] | None
    size_gb: float

    @property
    def is_here(self) -> bool:
        """Whether nothing is left to download; embedded ones have no files."""
        return self.paths is not None


def detectors(json: Json = False) -> None:
    """List the detectors: classes, cost, accuracy, licence.

    Examples:
        ovsam detectors
        ovsam detectors --json | jq '.detectors[].source'
    """
    from ovsam_pipeline.terminal.app import print_json, print_result

    rows = list_detectors()
    if json:
        print_json({"detectors": [describe_row(row) for row in rows]})
        return
    print_result(*f"{format_detectors(rows)}\n\n{_REMARKS}".splitlines())


_REMARKS = """\
params: millions. GMACs: one image at its native size.
box AP: percent, as published, on COCO val2017 or (*) LVIS v1 val.
vitdet is vitdet-b. Sources of the numbers: --json.
weights: here, or how large a download is (`ovsam models fetch NAME`;
torchvision downloads its own at first use).
Without weights of their own: boxes:FILE, gt:FILE; with packages of their own:
hf:MODEL, detectron2:CONFIG (see docs/detectors.md)."""


def list_detectors() -> list[DetectorRow]:
    """Return every detector with a name, the small and general ones first; read no weights."""
    from ovsam_pipeline.detectors import torchvision_files
    from ovsam_pipeline.detectors.official.weights import (
        OFFICIAL_DETECTORS,
        DetectorFacts,
        locate_detector,
    )

    nano = DetectorFacts(
        name="nano",
        classes="none",
        parameters_m=1.3,
        gmacs=0.6,
        box_ap=None,
        box_ap_on="",
        source="docs/nano.md",
        note="embedded; knows nano's drawings, no photos",
    )
    photo = DetectorFacts(
        name="photo",
        classes="coco",
        parameters_m=4.9,
        gmacs=21.8,
        box_ap=22.9,
        box_ap_on="COCO val2017",
        source="https://github.com/RangiLyu/nanodet",
        note="embedded; NanoDet-g, whose AP is given (2.1 GMACs), and U2NetP where it finds little",
    )
    torchvision = DetectorFacts(
        name="torchvision",
        classes="coco",
        parameters_m=43.7,
        gmacs=280.4,
        box_ap=46.7,
        box_ap_on="COCO val2017",
        source="https://pytorch.org/vision/stable/models.html",
        note="Faster R-CNN R50-FPN v2; torchvision:NAME for others, downloaded at first use",
    )
    official = (
        DetectorRow(
            known,
            known.weights.licence.title,
            locate_detector(known),
            round(known.size_bytes / 1e9, 2),
        )
        for known in OFFICIAL_DETECTORS
    )
    cached = torchvision_files.locate_weights(torchvision_files.DEFAULT_NAME)
    in_torch = (cached,) if cached.is_file() else None
    return [
        DetectorRow(nano, "Apache-2.0", paths=(), size_gb=0.0),
        DetectorRow(photo, "Apache-2.0", paths=(), size_gb=0.0),
        DetectorRow(torchvision, "BSD-3-Clause", in_torch, size_gb=0.17),
        *official,
    ]


def describe_row(row: DetectorRow) -> dict[str, object]:
    """Return a detector as `--json` prints it."""
    facts = {name: getattr(row.facts, name) for name in _FACTS}
    return {
        **facts,
        "classes": _CLASSES[row.facts.classes],
        "licence": row.licence,
        "is_here": row.is_here,
        "paths": None if row.paths is None else [str(path) for path in row.paths],
        "size_gb": row.size_gb,
        "note": row.facts.note,
    }


def format_detectors(rows: list[DetectorRow]) -> str:
    """Return the table that a person reads; it fits 80 columns."""
    cells = []
    for row in rows:
        facts = row.facts
        mark = "*" if facts.box_ap_on.startswith("LVIS") else " "
        cells.append(
            [
                facts.name,
                _CLASSES[facts.classes],
                f"{facts.parameters_m:,.1f}",
                f"{facts.gmacs:,.0f}" if facts.gmacs >= 1 else f"{facts.gmacs:.1f}",
                "- " if facts.box_ap is None else f"{facts.box_ap:.1f}{mark}",
                row.licence,
                "here" if row.is_here else f"{row.size_gb:.1f} GB",
            ]
        )
    header = ("name", "classes", "params", "GMACs", "box AP", "licence", "weights")
    return format_table(header, cells, right="  rrr")
