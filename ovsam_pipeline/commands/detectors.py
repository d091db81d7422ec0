"""`ovsam detectors`: what finds boxes: classes, cost, published accuracy, licence, what is here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

_CLASSES = {"coco": "80, COCO", "lvis": "1,203, LVIS", "any": "any"}


@dataclass(frozen=True)
class DetectorRow:
    """One detector with a name.

    Attributes:
        name: behind `--detector`.
        classes: how many it tells apart, and whose.
        parameters_m: millions of parameters that are used.
        gmacs: multiply-accumulates an image, in thousands of millions.
        box_ap: as published, percent; None where nobody published one.
        box_ap_on: what it was measured on.
        source: page with the number.
        licence: of the weights.
        is_here: whether the weights are on this machine.
        size_gb: of a download.
        note: what else to know.
    """

    name: str
    classes: str
    parameters_m: float
    gmacs: float
    box_ap: float | None
    box_ap_on: str
    source: str
    licence: str
    is_here: bool
    size_gb: float
    note: str = ""


def detectors(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the detectors that have a name, their cost, accuracy and licence, and which are here."""
    from ovsam_pipeline.terminal.app import print_json, print_result, print_tables

    rows = list_detectors()
    if json:
        print_json({"detectors": [asdict(row) for row in rows]})
        return
    print_tables([build_table(rows)])
    print_result(_REMARKS)


_REMARKS = """\
box AP: percent, as published, on COCO val2017 or (*) LVIS v1 val.
GMACs: one image at its native size. vitdet is vitdet-b. Sources: --json.
weights: here, or how large a download is (`ovsam models fetch NAME`;
torchvision downloads its own at first use).
Without weights of their own: boxes:FILE, gt:FILE; with packages of their own:
hf:MODEL, detectron2:CONFIG (see docs/detectors.md)."""


def list_detectors() -> list[DetectorRow]:
    """Return every detector with a name, the small and general ones first; reads no weights."""
    return [_describe_nano(), _describe_torchvision(), *_describe_official()]


def build_table(rows: list[DetectorRow]) -> Table:
    """Return what a person reads; it fits 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for title in ("name", "classes", "params\n(M)", "GMACs", "box AP", "licence", "weights"):
        is_number = title in ("params\n(M)", "GMACs", "box AP")
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            row.classes,
            f"{row.parameters_m:,.1f}",
            f"{row.gmacs:,.0f}" if row.gmacs >= 1 else f"{row.gmacs:.1f}",
            _format_ap(row),
            row.licence,
            "here" if row.is_here else f"{row.size_gb:.1f} GB",
        )
    return table


def _format_ap(row: DetectorRow) -> str:
    if row.box_ap is None:
        return "-"
    return f"{row.box_ap:.1f}{'*' if row.box_ap_on.startswith('LVIS') else ' '}"


def _describe_nano() -> DetectorRow:
    return DetectorRow(
        name="nano",
        classes="none",
        parameters_m=1.3,
        gmacs=0.6,
        box_ap=None,
        box_ap_on="",
        source="docs/nano.md",
        licence="Apache-2.0",
        is_here=True,
        size_gb=0.0,
        note="embedded; knows nano's drawings, no photos",
    )


def _describe_torchvision() -> DetectorRow:
    from ovsam_pipeline.detectors import torchvision_zoo

    return DetectorRow(
        name="torchvision",
        classes=_CLASSES["coco"],
        parameters_m=43.7,
        gmacs=280.4,
        box_ap=46.7,
        box_ap_on="COCO val2017",
        source="https://pytorch.org/vision/stable/models.html",
        licence="BSD-3-Clause",
        is_here=torchvision_zoo.is_cached(),
        size_gb=0.17,
        note="Faster R-CNN R50-FPN v2; torchvision:NAME for others, downloaded at first use",
    )


def _describe_official() -> list[DetectorRow]:
    from ovsam_pipeline.detectors.official.weights import OFFICIAL_DETECTORS, locate_detector

    return [
        DetectorRow(
            name=known.name,
            classes=_CLASSES[known.classes],
            parameters_m=known.parameters_m,
            gmacs=known.gmacs,
            box_ap=known.box_ap,
            box_ap_on=known.box_ap_on,
            source=known.source,
            licence=known.weights.licence.title,
            is_here=locate_detector(known) is not None,
            size_gb=round(known.size_bytes / 1e9, 2),
            note=known.note,
        )
        for known in OFFICIAL_DETECTORS
    ]
