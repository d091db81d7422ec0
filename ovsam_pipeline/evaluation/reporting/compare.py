"""Two evaluations of the same data by the same protocol → what became better or worse, how surely.

Intervals are a bootstrap over images, with the same resampled images on both sides: what makes an
image hard is then the same on both, and their difference varies little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam.errors import ConfigError
from ovsam_pipeline.evaluation.reporting.files import read_metrics, read_samples
from ovsam_pipeline.evaluation.reporting.tables import UNDEFINED, format_percent
from ovsam_pipeline.evaluation.scoring.average_precision import compute_curves, sort_matches
from ovsam_pipeline.evaluation.structures import Matches
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.outcomes import count_things

if TYPE_CHECKING:
    from rich.table import Table

COMPARED = {
    "instances": tuple(f"{n}{s}" for n in ("iou", "accuracy") for s in ("", "_base", "_novel")),
    "segm": ("AP", "AP50"),
    "bbox": ("AP", "AP50"),
}
# What must not differ. Others may: which model, detector or thresholds is better is the question.
_SAME = (
    *("limit", "split", "class_agnostic", "prompts", "labels", "scores", "area_rule", "max_det"),
)
_SIZES = {"images": "images", "annotations_count": "annotations", "categories": "categories"}

_Samples = list[dict[str, np.ndarray]]  # instances; or predictions and annotations to be found
_Measure = Callable[[np.ndarray], dict[str, float]]  # weights of images → numbers


@dataclass(frozen=True)
class Change:
    """One number ("segm AP", "instances iou"), before and now, as fractions.

    `interval` is the 95 % interval of new - old, None without samples on both sides.
    """

    name: str
    old: float
    new: float
    interval: tuple[float, float] | None
    is_drop: bool


@dataclass(frozen=True)
class Comparison:
    """A run next to its baseline, with notes on what could not be compared."""

    changes: tuple[Change, ...]
    tolerance: float
    baseline: Path
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """5 where something dropped, else 0."""
        return ExitCode.METRIC_DROPPED if any(change.is_drop for change in self.changes) else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "baseline": str(self.baseline),
            "tolerance": self.tolerance,
            "dropped": [change.name for change in self.changes if change.is_drop],
            "changes": [
                {
                    "name": change.name,
                    "old": change.old,
                    "new": change.new,
                    "difference": change.new - change.old,
                    "interval": list(change.interval) if change.interval else None,
                }
                for change in self.changes
            ],
            "notes": list(self.notes),
        }

    def build_table(self) -> Table:
        """Return the comparison for a terminal, in percent."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(f"compared with {self.baseline}, percent"),
            title_justify="left",
            caption=Text("\n".join(f"note: {note}" for note in self.notes)) if self.notes else None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("")
        for header in ("before", "now", "difference", "95 % interval"):
            table.add_column(header, justify="right", no_wrap=True)
        table.add_column("")
        for change in self.changes:
            interval = UNDEFINED
            if change.interval:
                interval = " to ".join(f"{100 * end:+.1f}" for end in change.interval)
            verdict = f"dropped > {100 * self.tolerance:g}" if change.is_drop else ""
            difference = f"{100 * (change.new - change.old):+.1f}"
            cells = (format_percent(change.old), format_percent(change.new), difference, interval)
            table.add_row(change.name, *cells, verdict, style="bold" if change.is_drop else "")
        return table


@dataclass(frozen=True)
class Baseline:
    """An earlier evaluation, in memory: the run that is compared with it may replace its files.

    `path` is its metrics.json, `samples` are by group, None where there are none.
    """

    path: Path
    metrics: Mapping[str, Any]
    samples: Mapping[str, _Samples | None]


def read_baseline(path: Path) -> Baseline:
    """Read an earlier evaluation, given as its folder or its metrics.json, and its samples.

    The samples give the intervals.
    """
    path = path / "metrics.json" if path.is_dir() else path
    samples = {group: _read_group(path.parent / "samples", group) for group in COMPARED}
    return Baseline(path, read_metrics(path), samples)


def check_same(ours: Mapping[str, Any], baseline: Baseline) -> None:
    """Refuse to compare with an evaluation of another data set or protocol.

    `ours` holds "dataset" and "protocol" as in metrics.json, as far as they are known.
    """
    theirs = baseline.metrics
    pairs = {
        f"--{name.replace('_', '-')}": (ours["protocol"][name], theirs["protocol"].get(name))
        for name in _SAME
        if name in ours["protocol"]
    }
    pairs["the style of the data set"] = (ours["dataset"]["style"], theirs["dataset"].get("style"))
    for name, what in _SIZES.items():
        pairs[f"the number of {what}"] = (ours["dataset"][name], theirs["dataset"].get(name))
    for what, (now, before) in pairs.items():
        if now != before:
            raise ConfigError(
                f"{baseline.path} cannot be compared: {what} was {_name(before)} there and is "
                f"{_name(now)} here"
            )


def _name(value: object) -> object:
    return "not given" if value is None else value


def compare_runs(
    new: Path, baseline: Baseline, *, tolerance: float, resamples: int, seed: int
) -> Comparison:
    """Compare the metrics.json of this run with an earlier one; intervals need samples of both.

    A drop up to `tolerance`, a fraction, is accepted.
    """
    ours, theirs = read_metrics(new), baseline.metrics
    check_same(ours, baseline)
    sides = (new, baseline.path)
    changes: list[Change] = []
    notes: list[str] = []
    for group in COMPARED:
        values = [side["metrics"].get(group, {}) for side in (ours, theirs)]
        names = _choose_metrics(group, values, notes)
        if not names:
            continue
        samples = [_read_group(new.parent / "samples", group), baseline.samples[group]]
        notes += [
            f"no intervals of {group}: no samples of it next to {path}"
            for path, sample in zip(sides, samples, strict=True)
            if sample is None
        ]
        found = [sample for sample in samples if sample is not None]
        intervals = {}
        if len(found) == 2:
            notes += _check_truth(group, found, baseline.path)
            intervals = _resample(group, found, names, resamples, seed)
        for name in names:
            now, before = values[0][name], values[1][name]
            is_drop = now < before - tolerance
            changes.append(Change(f"{group} {name}", before, now, intervals.get(name), is_drop))
    if not changes:
        raise ConfigError(
            f"no number in common: {baseline.path} has {_list_numbers(theirs)}, this run "
            f"{_list_numbers(ours)}"
        )
    return Comparison(tuple(changes), tolerance, baseline.path, tuple(notes))


def _list_defined(group: str, values: Mapping[str, float | None]) -> list[str]:
    """Return the metrics of a group that have a value."""
    return [n for n in COMPARED[group] if (value := values.get(n)) is not None and value >= 0]


def _list_numbers(metrics: Mapping[str, Any]) -> str:
    """Return "instances iou, accuracy": what an evaluation measured of what is compared."""
    found = [
        f"{group} {', '.join(names)}"
        for group in COMPARED
        if (names := _list_defined(group, metrics["metrics"].get(group, {})))
    ]
    return "; ".join(found) or "none"


def _choose_metrics(
    group: str, values: list[Mapping[str, float | None]], notes: list[str]
) -> tuple[str, ...]:
    """Return the metrics that both sides have; note those that only the baseline has."""
    now, before = (_list_defined(group, side) for side in values)
    if gone := [name for name in before if name not in now]:
        notes.append(f"{group} {', '.join(gone)}: in the baseline only, not compared")
    return tuple(name for name in before if name in now)


def _read_group(folder: Path, group: str) -> _Samples | None:
    names = [group] if group == "instances" else [group, f"{group}-truth"]
    tables = [table for name in names if (table := read_samples(folder, name)) is not None]
    return tables if len(tables) == len(names) else None


def _check_truth(group: str, samples: list[_Samples], baseline: Path) -> list[str]:
    """Return a note where a few annotations differ, as when an image could not be labelled."""
    ours, theirs = (_identify_truth(group, tables) for tables in samples)
    if np.array_equal(ours, theirs):
        return []
    # Detections have no ids to join by: there even one annotation less makes other numbers.
    if group == "instances" and np.intersect1d(ours, theirs).size:
        count = np.setxor1d(ours, theirs).size
        return [f"measured on one side only: {count_things(count, 'annotation')}"]
    raise ConfigError(
        f"{baseline} cannot be compared: it measured other annotations than this run; "
        "evaluate both on the same images of the same data set"
    )


def _identify_truth(group: str, tables: _Samples) -> np.ndarray:
    """Return what identifies the annotations measured, in an order that both sides share."""
    if group == "instances":
        return np.sort(tables[0]["annotation_id"])
    image_id, category = (tables[1][name] for name in ("image_id", "category_index"))
    return np.stack([image_id, category])[:, np.lexsort((category, image_id))]


def _resample(
    group: str, samples: list[_Samples], names: tuple[str, ...], resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of new - old of each number; {} where there is nothing to draw."""
    image_ids = np.unique(np.concatenate([t["image_id"] for tables in samples for t in tables]))
    if not len(image_ids) or resamples < 2:
        return {}
    prepare = _prepare_instances if group == "instances" else _prepare_detections
    new, old = (prepare(tables, image_ids) for tables in samples)
    generator = np.random.default_rng(seed)
    differences: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(resamples):
        # A drawn image counts as often as it was drawn: weights spare copies of its predictions.
        drawn = generator.integers(0, len(image_ids), len(image_ids))
        weights = np.bincount(drawn, minlength=len(image_ids))
        now, before = new(weights), old(weights)
        for name in names:
            differences[name].append(now[name] - before[name])
    intervals = {}
    for name, values in differences.items():
        # A resample without any novel instance, say, has no mean of them: NaN, left out.
        low, high = np.nanpercentile(values, [2.5, 97.5])
        intervals[name] = (float(low), float(high))
    return intervals


def _prepare_instances(tables: _Samples, image_ids: np.ndarray) -> _Measure:
    """Return what measures by weights of the images, which are ascending and of both sides."""
    rows = tables[0]
    image = np.searchsorted(image_ids, rows["image_id"])
    groups = {"": np.ones(len(image), bool)}
    groups |= {f"_{split}": rows["split"] == split for split in ("base", "novel")}
    values = {"iou": rows["iou"], "accuracy": rows["is_right"].astype(np.float64)}

    def measure(weights: np.ndarray) -> dict[str, float]:
        found = {}
        for suffix, chosen in groups.items():
            counts = weights[image[chosen]]
            total = counts.sum()
            for name, column in values.items():
                mean = float(counts @ column[chosen] / total) if total else float("nan")
                found[f"{name}{suffix}"] = mean
        return found

    return measure


def _prepare_detections(tables: _Samples, image_ids: np.ndarray) -> _Measure:
    rows, truth = tables
    matches = _rebuild_matches(rows, truth, image_ids)
    table = sort_matches(matches)
    most = (int(matches.ranks.max(initial=0)) + 1,)  # all: they were cut when they were matched

    def measure(weights: np.ndarray) -> dict[str, float]:
        precision = compute_curves(table, max_detections=most, image_weights=weights).precision
        is_defined = precision[:, :, :, 0] > -1
        # The first of the thresholds is 0.5.
        by_name = {"AP": slice(None), "AP50": slice(0, 1)}
        return {
            name: float(precision[chosen, :, :, 0][is_defined[chosen]].mean())
            if is_defined[chosen].any()
            else float("nan")
            for name, chosen in by_name.items()
        }

    return measure


def _rebuild_matches(
    rows: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], image_ids: np.ndarray
) -> Matches:
    """Return matches over all areas only: the samples hold no more, and AP needs no more."""
    largest = max(int(c.max(initial=-1)) for c in (rows["category_index"], truth["category_index"]))
    unknown = np.full(len(truth["image_id"]), -1)  # not in the samples, and not needed
    counts = np.bincount(truth["category_index"], minlength=largest + 1)
    return Matches(
        rows=np.arange(len(rows["score"])),
        image_index=np.searchsorted(image_ids, rows["image_id"]).astype(np.int32),
        category_index=rows["category_index"].astype(np.int32),
        ranks=rows["rank"].astype(np.int32),
        scores=rows["score"],
        matched=rows["matched"][:, None],
        ignored=rows["ignored"][:, None],
        num_truth=counts[:, None].astype(np.int64),
        truth_image_index=np.searchsorted(image_ids, truth["image_id"]).astype(np.int32),
        truth_category_index=truth["category_index"].astype(np.int32),
        truth_in_area=np.ones((len(unknown), 1), bool),
        truth_rows=unknown,
        found_by=unknown,
        found_iou=unknown,
    )
