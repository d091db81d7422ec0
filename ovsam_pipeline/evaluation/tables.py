"""metrics.json → tables for a terminal: our numbers first, the paper's beneath, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.evaluation.paper import find_paper_rows

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["build_tables", "format_percent"]

_INSTANCES = {
    "iou_base": "IoU base",
    "iou_novel": "IoU novel",
    "iou": "IoU",
    "accuracy_base": "acc. base",
    "accuracy_novel": "acc. novel",
    "accuracy": "accuracy",
}
_AP = ("AP", "AP50", "AP75", "APs", "APm", "APl")
_GROUPS = ("AP_base", "AP_novel", "APr", "APc", "APf")
_AR = ("AR@1", "AR@10", "AR@100", "AR@300", "ARs", "ARm", "ARl", "ARs@300", "ARm@300", "ARl@300")
_TITLES = {"segm": "masks", "bbox": "boxes"}


def build_tables(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """Return what a person reads, top to bottom.

    Args:
        metrics: the content of metrics.json.
    """
    measured = metrics["metrics"]
    name = f"{metrics['dataset']['name']}"
    paper = _find_rows(metrics)
    shown: list[RenderableType] = []
    if "instances" in measured:
        values = measured["instances"]
        title = f"{name}: {values['instances']} instances, percent"
        shown.append(_build(title, _INSTANCES, values, paper))
    for iou_type in ("segm", "bbox"):
        if iou_type not in measured:
            continue
        values = measured[iou_type]
        columns = {key: key for key in (*_AP, *_GROUPS) if key in values}
        rows = paper if iou_type == "segm" else {}
        shown.append(_build(f"{name}: {_TITLES[iou_type]}, percent", columns, values, rows))
        recalls = {key: key for key in _AR if key in values}
        shown.append(_build(f"{name}: {_TITLES[iou_type]}, recall", recalls, values, {}))
    counts = metrics["counts"]
    shown.append(
        f"{counts['images']} images ({counts['images_answered']} with predictions, "
        f"{counts['images_without_annotations']} without annotations), "
        f"{counts['annotations']} annotations ({counts['crowds']} crowds), "
        f"{counts['predictions']} predictions"
    )
    shown += [f"note: {sentence}" for sentence in metrics["problems"]]
    return shown


def format_percent(value: float | None) -> str:
    """Return a fraction in percent with one decimal; a dash where it is undefined."""
    return "-" if value is None or value < 0 else f"{100 * value:.1f}"


def _find_rows(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    if not metrics.get("paper"):
        return {}
    style = metrics["dataset"]["style"]
    return find_paper_rows(str(metrics["paper"]["table"]), style)


def _build(
    title: str,
    columns: Mapping[str, str],
    values: Mapping[str, float | None],
    paper: Mapping[str, Mapping[str, float]],
) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    if paper:
        table.add_column("")
    for header in columns.values():
        table.add_column(header, justify="right", no_wrap=True)
    ours = [format_percent(values.get(key)) for key in columns]
    table.add_row(*(["this run"] if paper else []), *ours, style="bold")
    for method, row in paper.items():
        cells = [f"{row[key]:.1f}" if key in row else "" for key in columns]
        table.add_row(f"paper: {method}", *cells, style="dim")
    return table
