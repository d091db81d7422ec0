"""metrics.json → tables for a terminal: our numbers first, the paper's beneath, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.evaluation.reporting.paper import PaperRow, find_paper_rows

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

UNDEFINED = "\N{EN DASH}"

_INSTANCES = {
    "iou_base": "IoU\nbase",
    "iou_novel": "IoU\nnovel",
    "iou": "IoU\nall",
    "accuracy_base": "acc.\nbase",
    "accuracy_novel": "acc.\nnovel",
    "accuracy": "acc.\nall",
}
_AP = {name: name for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")} | {
    "AP_base": "AP\nbase",
    "AP_novel": "AP\nnovel",
    "APr": "APr",
    "APc": "APc",
    "APf": "APf",
}
_AR = ("AR@1", "AR@10", "AR@100", "AR@300", "ARs", "ARm", "ARl", "ARs@300", "ARm@300", "ARl@300")
_TITLES = {"segm": "masks", "bbox": "boxes"}
_LEFT_OUT = {
    "instances_unanswered": "annotations are left out: their images have no predictions",
    "instances_in_neither_split": "annotations are left out: their class is neither base nor novel",
    "instances_missing": "annotations have no answer: IoU 0 and wrong",
    "instances_repeated": "predictions are left out: their annotation has one before",
}


def build_tables(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """Return what a person reads, top to bottom; it fits 80 columns.

    Args:
        metrics: the content of metrics.json.
    """
    from rich.text import Text

    measured = metrics["metrics"]
    name = str(metrics["dataset"]["name"])
    paper = _find_rows(metrics)
    shown: list[RenderableType] = []
    if "instances" in measured:
        values = measured["instances"]
        title = f"{name}: {values['instances']} instances, percent"
        shown.append(_build(title, _INSTANCES, values, _choose_rows(paper, "instances")))
    for iou_type in ("segm", "bbox"):
        if iou_type not in measured:
            continue
        values = measured[iou_type]
        columns = {key: header for key, header in _AP.items() if key in values}
        rows = _choose_rows(paper, iou_type)
        shown.append(_build(f"{name}: {_TITLES[iou_type]}, percent", columns, values, rows))
        recalls = {key: key for key in _AR if key in values}
        shown.append(_build(f"{name}: {_TITLES[iou_type]}, recall", recalls, values, []))
    # As Text: a name in square brackets would be read as markup.
    return [*shown, *(Text(line) for line in _list_remarks(metrics))]


def format_percent(value: float | None) -> str:
    """Return a fraction in percent with one decimal; a dash where it is undefined."""
    return UNDEFINED if value is None or value < 0 else f"{100 * value:.1f}"


def _list_remarks(metrics: Mapping[str, Any]) -> list[str]:
    counts = metrics["counts"]
    instances = metrics["metrics"].get("instances", {})
    return [
        f"{counts['images']} images ({counts['images_answered']} with predictions, "
        f"{counts['images_without_annotations']} without annotations), "
        f"{counts['annotations']} annotations ({counts['crowds']} crowds), "
        f"{counts['predictions']} predictions",
        *(
            f"note: {instances[key]} {what}"
            for key, what in _LEFT_OUT.items()
            if instances.get(key)
        ),
        *(f"note: {sentence}" for sentence in metrics["problems"]),
    ]


def _find_rows(metrics: Mapping[str, Any]) -> list[PaperRow]:
    if not metrics.get("paper"):
        return []
    is_lvis = metrics["dataset"]["style"] == "lvis"
    return find_paper_rows(str(metrics["paper"]["table"]), "lvis" if is_lvis else "coco")


def _choose_rows(rows: Sequence[PaperRow], group: str) -> list[PaperRow]:
    return [row for row in rows if row.group == group]


def _build(
    title: str,
    columns: Mapping[str, str],
    values: Mapping[str, float | None],
    paper: Sequence[PaperRow],
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    if paper:
        table.add_column("")
    for header in columns.values():
        table.add_column(header, justify="right", no_wrap=True)
    ours = [format_percent(values.get(key)) for key in columns]
    table.add_row(*(["this run"] if paper else []), *ours, style="bold", end_section=bool(paper))
    if paper:
        table.add_row(f"paper, {paper[0].dataset.upper()}:", style="dim")
    for row in paper:
        cells = [f"{row.values[key]:.1f}" if key in row.values else "" for key in columns]
        table.add_row(row.method, *cells, style="dim")
    return table
