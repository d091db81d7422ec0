"""Plots of a dataset card as SVG: loaders that take all pictures of a folder pass them over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ovsam_pipeline.export.drawing.charts import (
    FIRST,
    MARKERS,
    SECOND,
    chart_style,
    draw_bars,
    name_chart,
    shorten_name,
    start_chart,
)
from ovsam_pipeline.output.checked_labels import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_CLASSES = 30


def draw_plots(
    folder: Path,
    classes: Counter[str],
    scores: NDArray[np.int64],
    calibration: Calibration | None,
) -> dict[str, str]:
    """Write the plots that there are numbers for; return their file names by what they show.

    Args:
        folder: of the export; a file of this name that it holds stays, and the plot is left out.
        classes: objects by class.
        scores: objects in bins of equal width over [0, 1].
        calibration: of the labels, for "reliability".
    """
    plots: dict[str, str] = {}
    with chart_style():
        for name in ("classes", "scores", "reliability"):
            path = folder / f"card_{name}.svg"
            if path.exists() or (name == "reliability" and calibration is None):
                continue
            if name != "reliability" and not classes:
                continue
            rows = min(len(classes), _MOST_CLASSES) if name == "classes" else 0
            figure, axes = start_chart(6, 1.2 + 0.22 * rows if rows else 4)
            if name == "classes":
                _draw_classes(axes, classes)
            elif name == "scores":
                _draw_scores(axes, scores)
            elif calibration is not None:
                _draw_reliability(axes, calibration)
            figure.savefig(path, format="svg", metadata={"Date": None})
            plots[name] = path.name
    return plots


def _draw_classes(axes: Axes, classes: Counter[str]) -> None:
    largest = classes.most_common(_MOST_CLASSES)
    draw_bars(axes, [shorten_name(name) for name, _ in largest], [count for _, count in largest])
    title = f"The {len(largest)} largest of {len(classes)} classes"
    name_chart(axes, title, "Objects", grid="x")


def _draw_scores(axes: Axes, scores: NDArray[np.int64]) -> None:
    edges = np.linspace(0, 1, len(scores) + 1)
    axes.bar(
        edges[:-1], scores, width=1 / len(scores), align="edge", color=FIRST, edgecolor="white"
    )
    axes.set(xlim=(0, 1))
    name_chart(axes, "Scores", "Score of the label", "Objects")


def _draw_reliability(axes: Axes, calibration: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    label = calibration.label
    _draw_bins(axes, label.bins_before, "1 - risk", SECOND, MARKERS[1])
    _draw_bins(axes, label.bins_after, "calibrated", FIRST, MARKERS[0])
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    title = f"Reliability on {label.answers} checked labels"
    x, y = "Probability that the label is right", "Share of right labels"
    name_chart(axes, title, x, y)
    axes.legend(frameon=False)


def _draw_bins(
    axes: Axes, bins: Sequence[tuple[float, float, int]], label: str, colour: str, marker: str
) -> None:
    means, shares = [mean for mean, _, _ in bins], [share for _, share, _ in bins]
    axes.plot(means, shares, marker=marker, label=label, color=colour)
