"""Scores → plots as PNG files: precision and recall, IoU, confusions, size; no window opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam_pipeline.evaluation.reporting.files import count_confusions
from ovsam_pipeline.evaluation.structures import RECALL_THRESHOLDS, GroundTruth, Predictions
from ovsam_pipeline.storage.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ovsam_pipeline.evaluation.scoring.average_precision import DetectionScores
    from ovsam_pipeline.evaluation.scoring.instances import InstanceScores

_DPI = 150
# Pairs of confused classes: as many lines as one page holds.
_MOST_PAIRS = 25
# By size: fewer than five instances per bin would show noise.
_SIZE_BINS, _FEWEST_IN_BIN = 8, 5
# Blue and orange differ for people who do not see red and green apart, too.
_COLOURS = {"base": "#3566a8", "novel": "#d9822b", "all": "#555555"}
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
    paths = []
    for name, scores in detection.items():
        if (scores.curves.precision[:, :, :, 0] > -1).any():
            figure, axes = _start(6, 4.5)
            _draw_curves(axes, scores)
            paths.append(_save(figure, folder / f"precision_recall_{name}.png"))
    if instances is None or not len(instances.ious):
        return paths
    figure, axes = _start(6, 4)
    _draw_histogram(axes, truth, instances, what)
    paths.append(_save(figure, folder / "iou_histogram.png"))
    pairs = count_confusions(truth, predictions, instances)
    repeated = [pair for pair in pairs if pair[2] > 1]
    if repeated:
        figure, axes = _start(7, 1.2 + 0.24 * len(repeated[:_MOST_PAIRS]))
        names = [(f"{true} → {named}", count) for true, named, count in repeated]
        _draw_confusions(axes, names, num_once=len(pairs) - len(repeated))
        paths.append(_save(figure, folder / "confusions.png"))
    if len(instances.ious) >= 2 * _FEWEST_IN_BIN:
        figure, axes = _start(6, 4)
        _draw_sizes(axes, truth, instances)
        paths.append(_save(figure, folder / "by_size.png"))
    return paths


def _start(width_inch: float, height_inch: float) -> tuple[Any, Axes]:
    # Not through pyplot, which would look for a window and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png")
    return path


def _draw_curves(axes: Axes, scores: DetectionScores) -> None:
    precision = scores.curves.precision[:, :, :, 0]
    is_defined = precision[0, 0] > -1
    for name, chosen in _CURVES.items():
        mean = precision[chosen][:, :, is_defined].mean(axis=(0, 2))
        axes.plot(RECALL_THRESHOLDS, mean, label=f"{name}: AP {100 * mean.mean():.1f}")
    axes.set(
        xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.02),
        title=f"Precision and recall of {_TITLES[scores.iou_type]}: "
        f"mean over {int(is_defined.sum())} classes",
    )  # fmt: skip
    axes.legend(frameon=False)


def _groups(truth: GroundTruth, instances: InstanceScores) -> dict[str, np.ndarray]:
    """Return base and novel instances where there is a split, else all."""
    own = truth.categories.get_splits(truth.category_index[instances.truth_rows])
    groups = {name: own == name for name in ("base", "novel") if (own == name).any()}
    return groups or {"all": np.ones(len(own), bool)}


def _draw_histogram(axes: Axes, truth: GroundTruth, instances: InstanceScores, what: str) -> None:
    from matplotlib.ticker import MaxNLocator

    groups = _groups(truth, instances)
    axes.hist(
        [instances.ious[chosen] for chosen in groups.values()],
        bins=np.linspace(0, 1, 21).tolist(),
        stacked=True,
        color=[_COLOURS[name] for name in groups],
        label=[f"{n}: mean {instances.ious[c].mean():.3f}" for n, c in groups.items()],
    )
    num, mean = len(instances.ious), instances.ious.mean()
    axes.set(
        xlabel=f"IoU of the {what}", ylabel="Number of instances", xlim=(0, 1),
        title=f"IoU of {num} instances: mean {mean:.3f}",
    )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="upper left")


def _draw_confusions(axes: Axes, pairs: list[tuple[str, int]], num_once: int) -> None:
    from matplotlib.ticker import MaxNLocator

    names, counts = zip(*reversed(pairs[:_MOST_PAIRS]), strict=True)
    bars = axes.barh(range(len(names)), counts, color=_COLOURS["base"])
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.bar_label(bars, fontsize=8, padding=2)
    left_out = [f"{num_once} seen once"] if num_once else []
    left_out += [f"{len(pairs) - len(names)} rarer ones"] if len(pairs) > len(names) else []
    note = f"\n(without {' and '.join(left_out)})" if left_out else ""
    axes.set(xlabel="Number of instances", title=f"Most confused classes: truth → predicted{note}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_sizes(axes: Axes, truth: GroundTruth, instances: InstanceScores) -> None:
    """Means in bins of about equal numbers of instances, by the side of a square of their area."""
    side = np.sqrt(np.maximum(truth.areas[instances.truth_rows], 1))
    num_bins = max(2, min(_SIZE_BINS, len(side) // _FEWEST_IN_BIN))
    parts = np.array_split(np.argsort(side, kind="stable"), num_bins)
    centres = [float(np.median(side[part])) for part in parts]
    curves = {"IoU": instances.ious, "accuracy": instances.is_right.astype(np.float64)}
    for (name, values), colour in zip(
        curves.items(), (_COLOURS["base"], _COLOURS["novel"]), strict=True
    ):
        means = [float(values[part].mean()) for part in parts]
        axes.plot(centres, means, marker="o", label=name, color=colour)
    axes.set(
        xlabel="Size of the object: square root of its area, pixels",
        ylabel="Mean of the group", ylim=(0, 1.02), xscale="log",
        title=f"IoU and accuracy by size: {len(side)} instances in {num_bins} equal groups",
    )  # fmt: skip
    ticks = [t for t in (4, 8, 16, 32, 64, 96, 128, 256, 512, 1024) if min(centres) / 2 < t]
    ticks = [t for t in ticks if t < max(centres) * 2]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False)
