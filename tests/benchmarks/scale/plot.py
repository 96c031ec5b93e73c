"""Owns: the picture of the series, as SVG or PNG. Must never know: what was measured, or how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

Lines = Mapping[str, Sequence[tuple[int, float]]]
"""Points by the name of the broker."""
COLUMNS = 3
COLOURS = ("#d1495b", "#30638e", "#8d96a3", "#edae49")


def draw(panels: Mapping[tuple[str, str], Lines], path: Path) -> None:
    """One panel for each (title, name of the axis), both axes logarithmic."""
    matplotlib.rcParams.update({"svg.hashsalt": "kafka-server", "svg.fonttype": "none", "font.size": 9})
    rows = -(-len(panels) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(11, 2.9 * rows), squeeze=False)
    places = [place for row in grid for place in row]
    for place, ((title, axis), lines) in zip(places, panels.items(), strict=False):
        for colour, (name, measured) in zip(COLOURS, lines.items(), strict=False):
            points = [point for point in measured if point[1] > 0]  # Below a tick of the clock there is no logarithm.
            if points:
                place.plot(*zip(*points, strict=True), marker="o", markersize=3.5, color=colour, label=name)
        place.set(xscale="log", yscale="log", title=title, xlabel=axis)
        place.set_ylabel("broker CPU, us")
        bottom, top = place.get_ylim()
        place.set_ylim(bottom / 1.5, top * 1.5)
        place.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top / bottom < 30 else (1,)))
        for each in (place.xaxis, place.yaxis):
            each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            each.set_minor_formatter(NullFormatter())
        place.grid(True, which="major", linewidth=0.4, alpha=0.6)
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
    for place in places[len(panels) :]:
        place.axis("off")
    handles, labels = places[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", frameon=False, fontsize=10)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
