"""How charts look: quiet axes, two colours of the palette that print well, names taken as they are.

matplotlib is imported late: most commands draw no chart.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.export.drawing.colours import to_hex
from ovsam_pipeline.export.drawing.text import to_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of the palette, dark blue and orange: they differ in print without colours, and to people who do
# not see red or green. What is drawn in both also differs in its marker or hatch.
FIRST, SECOND = to_hex((0, 90, 170)), to_hex((255, 130, 0))
MARKERS, HATCH = ("o", "s"), "////"
_INK, _QUIET, _GRID = "#1c1c1e", "#606064", "#e4e4e6"
_STYLE: Any = {
    # A class may be called "$x$".
    "text.parse_math": False,
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.7,
    # Of SVG files texts stay texts, in the reader's font; the same numbers give the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "ovsam",
}


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw in our style within.

    Without warnings: of letters that the font lacks, and of names that leave no room for bars.
    """
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not by the settings of whoever runs this: charts look alike on every machine.
        rcdefaults()
        rcParams.update(_STYLE)
        yield


def start_chart(width_inch: float, height_inch: float) -> tuple[Any, Axes]:
    """Return a figure without a window, and its axes."""
    # Not through pyplot, which would look for a window and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_QUIET)
    axes.tick_params(color=_QUIET, labelcolor=_INK, length=3)
    axes.set_axisbelow(True)
    return figure, axes


def name_chart(axes: Axes, title: str, x: str, y: str = "", *, grid: str = "y") -> None:
    """Write what a chart and its axes show; `grid` is the axis along which values are read."""
    axes.set_title(title, loc="left", fontsize=10, color=_INK, pad=8)
    axes.set_xlabel(x, color=_QUIET)
    axes.set_ylabel(y, color=_QUIET)
    which: Any = grid
    axes.grid(True, axis=which, color=_GRID, linewidth=0.7)


def draw_bars(axes: Axes, names: list[str], counts: list[int]) -> None:
    """Draw a bar for each name, the first on top, with its count at its end."""
    bars = axes.barh(range(len(names)), counts[::-1], color=FIRST, height=0.72)
    axes.set_yticks(range(len(names)), names[::-1], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.bar_label(bars, fontsize=8, padding=2, color=_INK)
    axes.margins(y=0.01)  # else a band as high as three bars above and below thirty


def shorten_name(name: str, most: int = 40) -> str:
    """Return the name of a class as one line of at most so many letters; the end is cut off."""
    line = to_line(name)
    return line if len(line) <= most else f"{line[: most - 1]}…"
