"""metrics.json → tables for a terminal: our numbers first, below them the paper's, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ovsam_pipeline.detectors.image_match import MatchReport
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.settings.config_file import find_packaged_configs

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

UNDEFINED = "\N{EN DASH}"

# Columns by the name in metrics.json, in the order of the paper's tables.
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
    """Return what a person reads of a metrics.json, top to bottom; it fits 80 columns."""
    from rich.text import Text

    measured = metrics["metrics"]
    name = str(metrics["dataset"]["name"])
    paper = _find_rows(metrics)
    shown: list[RenderableType] = []
    if values := measured.get("instances"):
        title = f"{name}: {values['instances']} instances, percent"
        rows = [row for row in paper if row.group == "instances"]
        shown.append(_build(title, _INSTANCES, values, rows))
    for iou_type in ("segm", "bbox"):
        if values := measured.get(iou_type):
            columns = {key: header for key, header in _AP.items() if key in values}
            rows = [row for row in paper if row.group == iou_type]
            shown.append(_build(f"{name}: {_TITLES[iou_type]}, percent", columns, values, rows))
            # "AR@1000" of --max-det after those that the papers have.
            known = (*_AR, *(key for key in values if key.startswith("AR@") and key not in _AR))
            recalls = {key: key for key in known if key in values}
            shown.append(_build(f"{name}: {_TITLES[iou_type]}, recall", recalls, values, []))
    # As Text: a name in square brackets would be read as markup.
    return [*shown, *(Text(line) for line in _list_remarks(metrics))]


def format_percent(value: float | None) -> str:
    """Return a fraction in percent with one decimal; a dash where it is undefined."""
    return UNDEFINED if value is None or value < 0 else f"{100 * value:.1f}"


def _list_remarks(metrics: Mapping[str, Any]) -> list[str]:
    counts = metrics["counts"]
    instances = metrics["metrics"].get("instances", {})
    left_out = ""
    protocol = metrics.get("protocol", {})
    if limit := protocol.get("limit"):
        left_out = f" (--limit {limit}: not the whole data set)"
    agnostic = ["classes are not looked at"] if protocol.get("class_agnostic") else []
    return [
        f"{count_things(counts['images'], 'image')}{left_out} ({counts['images_answered']} with "
        f"predictions, {counts['images_without_annotations']} without annotations), "
        f"{count_things(counts['annotations'], 'annotation')} "
        f"({count_things(counts['crowds'], 'crowd')}), "
        f"{count_things(counts['predictions'], 'prediction')}",
        *_describe_matching(metrics.get("matching")),
        *_describe_paper(metrics),
        *(f"note: {sentence}" for sentence in agnostic),
        *(
            f"note: {instances[key]} {what}"
            for key, what in _LEFT_OUT.items()
            if instances.get(key)
        ),
        *(f"note: {sentence}" for sentence in metrics["problems"]),
    ]


def _describe_paper(metrics: Mapping[str, Any]) -> list[str]:
    """Return why no row of the paper stands below ours, where one was asked for."""
    if not metrics.get("paper") or _find_rows(metrics):
        return []
    table = metrics["paper"]["table"]
    return [f"note: no rows of the paper's Table {table}: ovsam does not have its numbers"]


def _find_rows(metrics: Mapping[str, Any]) -> list[PaperRow]:
    """Return the paper's rows that were asked for, of a data set of this style."""
    if not metrics.get("paper"):
        return []
    is_lvis = metrics["dataset"]["style"] == "lvis"
    return find_paper_rows(str(metrics["paper"]["table"]), "lvis" if is_lvis else "coco")


def _describe_matching(matching: Mapping[str, Any] | None) -> list[str]:
    """Return how images were found, where it was not all by name or id."""
    report = MatchReport.from_dict(matching or {})
    return [] if report.is_plain else [f"predictions: {report.describe()}"]


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
    # Without the paper's rows below it, ours needs no name.
    table.add_row(*(["this run"] if paper else []), *ours, style="bold", end_section=bool(paper))
    if paper:
        table.add_row(f"paper, {paper[0].dataset.upper()}:", style="dim")
    for row in paper:
        cells = [f"{row.values[key]:.1f}" if key in row.values else "" for key in columns]
        table.add_row(row.method, *cells, style="dim")
    return table


@dataclass(frozen=True)
class PaperRow:
    """One line of one table of the paper.

    Attributes:
        group: which numbers of metrics.json it is shown with: "instances", "segm" or "bbox".
        values: name of a metric in metrics.json → percent; "gmacs" and "parameters_m" (millions)
            are costs. Source: arXiv 2401.02955.
    """

    dataset: str
    group: str
    method: str
    values: Mapping[str, float]


def find_paper_rows(table: str, dataset: Literal["coco", "lvis"]) -> list[PaperRow]:
    """Return the rows of a table in the paper's order; none where the paper has none."""
    import yaml

    path = find_packaged_configs() / "paper_tables.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8")).get(table, {}).get(dataset, {})
    return [
        PaperRow(dataset, group, method, values)
        for group, rows in groups.items()
        for method, values in rows.items()
    ]
