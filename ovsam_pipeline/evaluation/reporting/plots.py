"""Scores → plots as PNG files: precision and recall, IoU, confusions, size; no window opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam_pipeline.evaluation.reporting.files import count_confusions
from ovsam_pipeline.evaluation.structures import RECALL_THRESHOLDS, GroundTruth, Predictions
from ovsam_pipeline.export.drawing.charts import (
    FIRST,
    HATCH,
    MARKERS,
    SECOND,
    chart_style,
    draw_bars,
    name_chart,
    shorten_name,
    start_chart,
)
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.storage.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ovsam_pipeline.evaluation.scoring.average_precision import DetectionScores
    from ovsam_pipeline.evaluation.scoring.instances import InstanceScores

_DPI = 150
# Pairs of confused classes: as many lines as one page holds.
_MOST_PAIRS, _MOST_LETTERS = 25, 28
# By size: fewer than five instances per bin would show noise.
_SIZE_BINS, _FEWEST_IN_BIN = 8, 5
_COLOURS = {"base": FIRST, "novel": SECOND, "all": FIRST}
_CURVE_STYLES = (("-", FIRST), ("--", SECOND), (":", "#1c1c1e"))
_TITLES = {"segm": "masks", "bbox": "boxes"}
_CURVES = {"IoU .50": slice(0, 1), "IoU .75": slice(5, 6), "IoU .50:.95": slice(None)}


def write_plots(
    folder: Path,
    truth: GroundTruth,
    predictions: Predictions,
    detection: Mapping[str, DetectionScores],
    instances: InstanceScores | None,
    what: str = "mask",
) -> list[Path]:
    """Draw what was measured, and return the files; a plot without data is not drawn.

    precision_recall_TYPE.png shows `detection`, by type of IoU. iou_histogram.png, confusions.png
    and by_size.png show `instances`, the IoU of whose masks or boxes (`what`) was measured. Classes
    that were confused once are no pattern: confusions.csv lists them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with chart_style():
        paths = _write_curves(folder, detection)
        if instances is not None and len(instances.ious):
            paths += _write_instances(folder, truth, predictions, instances, what)
    return paths


def _write_curves(folder: Path, detection: Mapping[str, DetectionScores]) -> list[Path]:
    paths = []
    for name, scores in detection.items():
        if (scores.curves.precision[:, :, :, 0] > -1).any():
            figure, axes = start_chart(6, 4.5)
            _draw_curves(axes, scores)
            paths.append(_save(figure, folder / f"precision_recall_{name}.png"))
    return paths


def _write_instances(
    folder: Path,
    truth: GroundTruth,
    predictions: Predictions,
    instances: InstanceScores,
    what: str,
) -> list[Path]:
    figure, axes = start_chart(6, 4)
    _draw_histogram(axes, truth, instances, what)
    paths = [_save(figure, folder / "iou_histogram.png")]
    pairs = count_confusions(truth, predictions, instances)
    repeated = [pair for pair in pairs if pair[2] > 1]
    if repeated:
        figure, axes = start_chart(7, 1.2 + 0.24 * len(repeated[:_MOST_PAIRS]))
        names = [
            (f"{_shorten(true)} → {_shorten(named)}", count) for true, named, count in repeated
        ]
        _draw_confusions(axes, names, num_once=len(pairs) - len(repeated))
        paths.append(_save(figure, folder / "confusions.png"))
    if len(instances.ious) >= 2 * _FEWEST_IN_BIN:
        figure, axes = start_chart(6, 4)
        _draw_sizes(axes, truth, instances)
        paths.append(_save(figure, folder / "by_size.png"))
    return paths


def _shorten(name: str) -> str:
    return shorten_name(name, _MOST_LETTERS)


def _save(figure: Any, path: Path) -> Path:
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png")
    return path


def _draw_curves(axes: Axes, scores: DetectionScores) -> None:
    precision = scores.curves.precision[:, :, :, 0]
    is_defined = precision[0, 0] > -1
    for (name, chosen), (style, colour) in zip(_CURVES.items(), _CURVE_STYLES, strict=True):
        mean = precision[chosen][:, :, is_defined].mean(axis=(0, 2))
        label = f"{name}: AP {100 * mean.mean():.1f}"
        axes.plot(RECALL_THRESHOLDS, mean, style, color=colour, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    title = (
        f"Precision and recall of {_TITLES[scores.iou_type]}: "
        f"mean over {count_things(int(is_defined.sum()), 'class')}"
    )
    name_chart(axes, title, "Recall", "Precision")
    axes.legend(frameon=False)


def _groups(truth: GroundTruth, instances: InstanceScores) -> dict[str, np.ndarray]:
    """Return base and novel instances where there is a split, else all."""
    own = truth.categories.get_splits(truth.category_index[instances.truth_rows])
    groups = {name: own == name for name in ("base", "novel") if (own == name).any()}
    return groups or {"all": np.ones(len(own), bool)}


def _draw_histogram(axes: Axes, truth: GroundTruth, instances: InstanceScores, what: str) -> None:
    from matplotlib.ticker import MaxNLocator

    groups = _groups(truth, instances)
    bars: Any
    _, _, bars = axes.hist(
        [instances.ious[chosen] for chosen in groups.values()],
        bins=np.linspace(0, 1, 21).tolist(),
        stacked=True,
        color=[_COLOURS[name] for name in groups],
        label=[f"{n}: mean {instances.ious[c].mean():.3f}" for n, c in groups.items()],
        edgecolor="white",
        linewidth=0.6,
    )
    if len(groups) > 1:
        for bar in list(bars)[-1]:
            bar.set_hatch(HATCH)
    num, mean = len(instances.ious), instances.ious.mean()
    axes.set(xlim=(0, 1))
    title = f"IoU of {num} instances: mean {mean:.3f}"
    name_chart(axes, title, f"IoU of the {what}", "Number of instances")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="upper left")


def _draw_confusions(axes: Axes, pairs: list[tuple[str, int]], num_once: int) -> None:
    from matplotlib.ticker import MaxNLocator

    shown = pairs[:_MOST_PAIRS]
    draw_bars(axes, [name for name, _ in shown], [count for _, count in shown])
    left_out = [f"{num_once} seen once"] if num_once else []
    left_out += [f"{len(pairs) - len(shown)} rarer ones"] if len(pairs) > len(shown) else []
    note = f"\n(without {' and '.join(left_out)})" if left_out else ""
    title = f"Most confused classes: truth → predicted{note}"
    name_chart(axes, title, "Number of instances", grid="x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_sizes(axes: Axes, truth: GroundTruth, instances: InstanceScores) -> None:
    """Means in bins of about equal numbers of instances, by the side of a square of their area."""
    side = np.sqrt(np.maximum(truth.areas[instances.truth_rows], 1))
    num_bins = max(2, min(_SIZE_BINS, len(side) // _FEWEST_IN_BIN))
    parts = np.array_split(np.argsort(side, kind="stable"), num_bins)
    centres = [float(np.median(side[part])) for part in parts]
    curves = {"IoU": instances.ious, "accuracy": instances.is_right.astype(np.float64)}
    for (name, values), colour, marker in zip(
        curves.items(), (FIRST, SECOND), MARKERS, strict=True
    ):
        means = [float(values[part].mean()) for part in parts]
        axes.plot(centres, means, marker=marker, label=name, color=colour)
    axes.set(ylim=(0, 1.02), xscale="log")
    title = f"IoU and accuracy by size: {len(side)} instances in {num_bins} equal groups"
    x = "Size of the object: square root of its area, pixels"
    name_chart(axes, title, x, "Mean of the group")
    ticks = [t for t in (4, 8, 16, 32, 64, 96, 128, 256, 512, 1024) if min(centres) / 2 < t]
    ticks = [t for t in ticks if t < max(centres) * 2]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False)
