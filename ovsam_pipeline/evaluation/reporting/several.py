"""Several evaluations → one table, a run a row: which model, detector or threshold is best.

One run next to its baseline, with intervals, is compare.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.evaluation.reporting.compare import COMPARED, Baseline, check_same
from ovsam_pipeline.evaluation.reporting.files import read_metrics
from ovsam_pipeline.evaluation.reporting.tables import format_percent
from ovsam_pipeline.terminal.tables import format_table


@dataclass(frozen=True)
class SeveralRuns:
    """Some evaluations.

    Attributes:
        names: of the runs, as they were given.
        metrics: content of metrics.json of each.
        notes: what makes the numbers of a run no match for those of the first one.
    """

    names: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; numbers are fractions."""
        runs = [
            {"run": name, **{key: found[key] for key in ("dataset", "protocol", "metrics")}}
            for name, found in zip(self.names, self.metrics, strict=True)
        ]
        return {"runs": runs, "notes": list(self.notes)}

    def format(self) -> list[str]:
        """Return the table in percent, and the notes, line by line."""
        columns = [
            (group, name)
            for group, names in COMPARED.items()
            for name in names
            if any((_find(found, group, name) or -1) >= 0 for found in self.metrics)
        ]
        rows = [
            [
                run,
                str(found["dataset"].get("images", "")),
                *(format_percent(_find(found, *column)) for column in columns),
            ]
            for run, found in zip(self.names, self.metrics, strict=True)
        ]
        header = ("run", "images", *(f"{group} {name}" for group, name in columns))
        table = format_table(header, rows, right=" " + "r" * (len(columns) + 1))
        return [*table.splitlines(), *(f"note: {note}" for note in self.notes)]


def read_several(texts: Sequence[str]) -> SeveralRuns:
    """Read evaluations, given as their folders or their metrics.json.

    Raises:
        ConfigError: there is none.
        DatasetError: one is no evaluation.
    """
    if not texts:
        raise ConfigError("expected folders of ovsam eval, got none")
    paths = [Path(text).expanduser() for text in texts]
    files = [path / "metrics.json" if path.is_dir() else path for path in paths]
    found = [read_metrics(file) for file in files]
    first, notes = Baseline(files[0], found[0], {}), []
    for metrics, text in zip(found[1:], texts[1:], strict=True):
        try:
            check_same(metrics, first)
        except (ConfigError, KeyError) as error:
            what = str(error).partition(" cannot be compared: ")[2] or "it measured something else"
            notes.append(f"{text} is not to be compared with {texts[0]}: {what}")
    return SeveralRuns(tuple(texts), tuple(found), tuple(notes))


def _find(metrics: dict[str, Any], group: str, name: str) -> float | None:
    values = metrics["metrics"].get(group)
    value = values.get(name) if isinstance(values, dict) else None
    return float(value) if isinstance(value, int | float) else None
