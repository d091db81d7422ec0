"""The paper's tables as data, from `configs/paper_tables.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ovsam_pipeline.settings.config_file import find_packaged_configs


@dataclass(frozen=True)
class PaperRow:
    """One line of one table of the paper.

    Attributes:
        table: "1", "1-points", "3", …
        dataset: "coco" or "lvis".
        group: which numbers of metrics.json it stands beside: "instances", "segm" or "bbox".
        method: its first column.
        values: name of a metric in metrics.json → percent; "gmacs" and "parameters_m" (millions)
            are costs. Source: arXiv 2401.02955.
    """

    table: str
    dataset: str
    group: str
    method: str
    values: Mapping[str, float]


def find_paper_rows(table: str, dataset: Literal["coco", "lvis"]) -> list[PaperRow]:
    """Return the rows of a table, in the paper's order; none where the paper has none.

    Args:
        table: "1", "1-points", "3", …
        dataset: whose half of the table.
    """
    import yaml

    path = find_packaged_configs() / "paper_tables.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8")).get(table, {}).get(dataset, {})
    return [
        PaperRow(table, dataset, group, method, values)
        for group, rows in groups.items()
        for method, values in rows.items()
    ]
