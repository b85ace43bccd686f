"""The common look of all figures: colours that colour-blind people can tell apart, dates on the x-axis, labels."""

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import StepPatch
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import ArrayLike, NDArray

from sim.plots.saving import png_bytes
from sim.results.run import Run
from sim.wording import amount

# Okabe and Ito's palette; neighbouring colours also differ in lightness, so that a grey print is legible.
BLUE, SKY, ORANGE, VERMILLION = "#0072B2", "#56B4E9", "#E69F00", "#D55E00"
GREEN, PURPLE, YELLOW, INK = "#009E73", "#CC79A7", "#F0E442", "#222222"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
DASHES = ("-", "--", "-.", ":")
GREY = "#6b6b6b"
WIDTH = 8.4  # inches
ROOM = 0.82  # of the width, for the axes; legends stand to the right of it
LEFT, BESIDE, BELOW, ABOVE = 0.72, 0.25, 0.48, 0.32  # inches around axes over time, for their labels and titles
ROW = 11  # points, the height of a row of small labels above the axes
DAY = 86400.0  # seconds
STEPS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 30 * DAY)
MOST_TICKS = 10


def plain(text: object, most: int = 28) -> str:
    """A name from a file as a short label that the drawing library does not read as mathematics or markup."""
    label = "".join(c if c.isprintable() else " " for c in str(text)).strip() or "(no name)"
    label = label if len(label) <= most else label[: most - 1].rstrip() + "…"
    label = label.replace("$", r"\$")
    return " " + label if label.startswith("_") else label  # a legend leaves out what begins with an underscore


def style(place: int) -> dict[str, Any]:
    """Colour and dash of the n-th line; the first 28 all differ."""
    return {"color": CYCLE[place % len(CYCLE)], "linestyle": DASHES[(place + place // len(CYCLE)) % len(DASHES)]}


class Shown(Figure):
    """A figure that a notebook shows as the last value of a cell, without pyplot."""

    def _repr_png_(self) -> bytes:
        return png_bytes(self, dots_per_inch=100.0)


def blank(height: float, rows: int = 1, columns: int = 1, *, room: float = ROOM) -> tuple[Figure, list[Axes]]:
    """A figure `height` inches high with its axes, row by row, outside any global state.

    room: the share of the width for the axes; legends stand to the right of it, so that figures over time line up.
    """
    figure = Shown(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(rect=(0, 0, room, 1)))
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [ax for row in axes for ax in row]


def over_time(height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with `rows` axes below each other and fixed margins, so that figures over time line up.

    To measure all labels for margins that just hold them, as `blank` does, is a third of the time of a drawing.
    """
    figure, between = Shown(figsize=(WIDTH, height)), ABOVE + BELOW
    gap = between / max(height / rows - between, 0.1)
    figure.subplots_adjust(LEFT / WIDTH, BELOW / height, ROOM - BESIDE / WIDTH, 1 - ABOVE / height, hspace=gap)
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def grid(count: int, most: int, each: float, *, head: float = 0.0, shared: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, at most `most` beside each other, in rows `each` inches high below `head` inches.

    shared: whether all panels have the same x- and y-axis.
    """
    columns = min(most, max(count, 1))
    rows = max(1, -(-count // columns))
    figure = Shown(figsize=(WIDTH, head + each * rows), layout=ConstrainedLayoutEngine())
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).ravel())
    for ax in panels[count:]:
        ax.set_axis_off()
    return figure, panels[:count]


def lowered(ax: Axes, points: float) -> None:
    """Take room for labels off the top of axes with fixed margins, so that what stands above them is not cut."""
    if points and ax.figure.get_layout_engine() is None:
        box = ax.get_position()
        height = box.height - points / 72 / (ax.figure.bbox.height / ax.figure.dpi)
        ax.set_position((box.x0, box.y0, box.width, max(height, 0.1)))


def stairs(ax: Axes, values: ArrayLike, edges: ArrayLike, *, baseline: ArrayLike | None = 0.0, **style: Any) -> None:
    """As Axes.stairs, which takes each step for a curve when it looks for limits: a tenth of the time of a drawing."""
    fill = style.pop("fill", False)
    if fill:
        style.setdefault("linewidth", 0)
    if "color" in style:  # of the line or of the area, never of both
        style["facecolor" if fill else "edgecolor"] = style.pop("color")
    patch = StepPatch(values, edges, baseline=cast(Any, baseline), fill=fill, **style)  # its stubs know only numbers
    ax.add_artist(patch)
    corners = np.asarray(patch.get_path().vertices)
    ax.update_datalim(corners[np.isfinite(corners).all(axis=1)])
    if baseline is not None:
        patch.sticky_edges.y.append(float(np.min(baseline)))
    ax.autoscale_view()


def dress(ax: Axes, title: str, y: str, x: str | None = None, *, rows: int = 0) -> None:
    """Title, labels of the axes, and as little ink as possible. rows: of small labels between the axes and the title.

    The title's height is given: to look whether ticks stand above the axes is an eighth of the time of a drawing.
    """
    ax.set_title(title, loc="left", y=1.0, fontsize=10, fontweight="bold", color=INK, pad=6 + ROW * rows)
    ax.set_ylabel(y, fontsize=8.5)
    if x is not None:
        ax.set_xlabel(x, fontsize=8.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8)
    lowered(ax, ROW * rows)


def amount_tick(value: float, _: float | None) -> str:
    """A tick like 12 k or 1.5 M."""
    return amount(value)


def count_axis(ax: Axes) -> None:
    """A y-axis of counts or rates from 0 up."""
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(amount_tick)


def legend(ax: Axes) -> None:
    """A legend beside the axes, so that it hides no data."""
    box = ax.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), fontsize=8, frameon=False, handlelength=1.8)
    box.set_in_layout(False)


def note(
    ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], *, size: float = 7.5, **style: Any
) -> None:
    """A small text beside a place: `at` is x and the share of the height, `shift` is points from there."""
    ax.annotate(text, at, shift, ax.get_xaxis_transform(), "offset points", fontsize=size, **style)


def nothing(ax: Axes, text: str) -> None:
    """A text in place of a figure without data."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=9, color=GREY)


def dates(run: Run, seconds: ArrayLike) -> NDArray[np.float64]:
    """Instants of a run as matplotlib's date numbers (days)."""
    start = float(date2num(run.start))
    return start + np.asarray(seconds, dtype=float) / DAY


def edges(run: Run, table: pd.DataFrame) -> NDArray[np.float64]:
    """The edges of a timeline's bins as date numbers."""
    return dates(run, np.append(table.index.to_numpy(), run.horizon))


def date_axis(ax: Axes, run: Run) -> None:
    """The x-axis from start to horizon, in dates (UTC), with the warm-up greyed out."""
    step = next((step for step in STEPS if run.horizon <= MOST_TICKS * step), run.horizon)
    ax.xaxis.set_major_locator(MultipleLocator(step / DAY))
    ax.xaxis.set_major_formatter(lambda x, _: date_label(x, step))
    begin, end = dates(run, [0.0, run.horizon])
    ax.set_xlim(begin, end)
    ax.set_xlabel(f"time (UTC) from {run.date(0.0)}", fontsize=8.5)
    warm_up = float(run.manifest["warm_up"])
    if warm_up > 0:
        ax.axvspan(begin, float(dates(run, warm_up)), facecolor="#eeeeee", edgecolor="none", zorder=0.2)
        note(ax, "warm-up", (begin, 0.0), (3, 3), size=7, color=GREY)


def over_dates(ax: Axes, run: Run, title: str, y: str, *, counts: bool = True, rows: int = 0) -> None:
    """Title, unit, dates and legend of a figure over time. counts: the y-axis is one of counts. rows: as in `dress`."""
    dress(ax, title, y, rows=rows)
    if counts:
        count_axis(ax)
    date_axis(ax, run)
    legend(ax)


def date_label(x: float, step: float) -> str:
    """A tick in words: the day at midnight, else the time of day, as exact as the step between ticks needs."""
    seconds = round(x * DAY)  # a date number is a fraction of a day, and 17:00 must not read 16:59
    instant = datetime.fromtimestamp(seconds, UTC)
    if seconds % DAY == 0:
        return f"{instant:%d %b}"
    return f"{instant:%H:%M}" if step >= 60 else f"{instant:%H:%M:%S}"
