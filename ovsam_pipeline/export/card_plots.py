"""Plots of a dataset card as SVG: loaders that take all pictures of a folder pass them over."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovsam_pipeline.output.checked_labels import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR, _OTHER_COLOUR = "#3b6ea5", "#c0504d"
_MOST_CLASSES, _MOST_NAME = 30, 40
# Texts stay texts, in the reader's font; the same numbers give the same file.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "ovsam", "text.parse_math": False}


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
    from matplotlib import rc_context

    plots: dict[str, str] = {}
    # Names may have letters that the font of the machine lacks: the reader's may have them.
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("classes", "scores", "reliability"):
            path = folder / f"card_{name}.svg"
            if path.exists() or (name == "reliability" and calibration is None):
                continue
            if name != "reliability" and not classes:
                continue
            figure, axes = _start(min(len(classes), _MOST_CLASSES) if name == "classes" else 0)
            if name == "classes":
                _draw_classes(axes, classes)
            elif name == "scores":
                _draw_scores(axes, scores)
            elif calibration is not None:
                _draw_reliability(axes, calibration)
            figure.savefig(path, format="svg", metadata={"Date": None})
            plots[name] = path.name
    return plots


def _start(num_rows: int) -> tuple[Any, Axes]:
    # Not through pyplot, which would look for a window and keep every figure.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    height_inch = 1.2 + 0.22 * num_rows if num_rows else 4
    figure = Figure(figsize=(6, height_inch), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw_classes(axes: Axes, classes: Counter[str]) -> None:
    names, counts = zip(*reversed(classes.most_common(_MOST_CLASSES)), strict=True)
    bars = axes.barh(range(len(names)), counts, color=_COLOUR)
    axes.set_yticks(range(len(names)), [_shorten(name) for name in names], fontsize=8)
    axes.bar_label(bars, fontsize=8, padding=2)
    axes.margins(y=0.01)  # else a band as high as three bars above and below thirty
    axes.set(xlabel="Objects", title=f"The {len(names)} largest of {len(classes)} classes")


def _draw_scores(axes: Axes, scores: NDArray[np.int64]) -> None:
    edges = np.linspace(0, 1, len(scores) + 1)
    axes.bar(edges[:-1], scores, width=1 / len(scores), align="edge", color=_COLOUR)
    axes.set(xlabel="Score of the label", ylabel="Objects", xlim=(0, 1), title="Scores")


def _draw_reliability(axes: Axes, calibration: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    label = calibration.label
    _draw_bins(axes, label.bins_before, "1 - risk", _OTHER_COLOUR)
    _draw_bins(axes, label.bins_after, "calibrated", _COLOUR)
    axes.set(
        xlabel="Probability that the label is right", ylabel="Share of right labels",
        xlim=(0, 1), ylim=(0, 1.02), title=f"Reliability on {label.answers} checked labels",
    )  # fmt: skip
    axes.legend(frameon=False)


def _draw_bins(
    axes: Axes, bins: Sequence[tuple[float, float, int]], label: str, colour: str
) -> None:
    means, shares = [mean for mean, _, _ in bins], [share for _, share, _ in bins]
    axes.plot(means, shares, marker="o", label=label, color=colour)


def _shorten(name: str) -> str:
    line = "".join(letter if letter.isprintable() else " " for letter in name)
    return line if len(line) <= _MOST_NAME else f"{line[: _MOST_NAME - 1]}…"
