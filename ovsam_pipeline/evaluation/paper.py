"""The paper's tables as data, from `configs/paper_tables.yaml`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_paper_rows"]


def find_paper_rows(table: str, dataset: str) -> dict[str, dict[str, float]]:
    """Return the rows of a table.

    Args:
        table: "1", "1-points", "3", …
        dataset: "coco" or "lvis".

    Returns:
        Method → metric name of metrics.json → percent. Empty where the paper has no such rows.

    Source: arXiv 2401.02955.
    """
    import yaml

    package = Path(__file__).resolve().parent.parent
    folders = (package / "configs", package.parent / "configs")
    path = next(f / "paper_tables.yaml" for f in folders if (f / "paper_tables.yaml").is_file())
    tables = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows: dict[str, dict[str, float]] = tables.get(table, {}).get(dataset, {})
    return rows
