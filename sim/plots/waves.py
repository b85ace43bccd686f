"""Signup waves: of presets, and curves fitted to counts with the fan of futures; people so far and per hour."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.demand.fitting.counts import Counts
from sim.demand.fitting.fit import Fit
from sim.demand.fitting.forecast import QUANTILES, Fan
from sim.demand.waves.launches import Preset
from sim.plots.axes import BLUE, INK, amount_tick, blank, count_axis, dress, legend, plain, stairs, style

SHADES = {(0, len(QUANTILES) - 1): 0.16, (1, len(QUANTILES) - 2): 0.3}  # opacity between two quantiles
HOUR = 3600.0  # seconds
LONG = 10 * 86400.0  # seconds, from which days read better than hours


def waves_figure(presets: dict[str, Preset]) -> Figure:
    """People so far above, people per hour below, of each preset from its first minutes until nearly all have come."""
    figure, (above, below) = blank(6.4, rows=2, room=0.79)
    for place, (name, preset) in enumerate(presets.items()):
        times = np.geomspace(0.2 * HOUR, preset.lasting() / 1.025, 800)
        above.plot(times / HOUR, preset.cumulative(times), label=plain(name), **style(place))
        # Over a twentieth of each time, so that neither the first hours nor late jumps are smoothed away.
        people = preset.cumulative(1.025 * times) - preset.cumulative(0.975 * times)
        below.plot(times / HOUR, people / (0.05 * times) * HOUR, **style(place))
    logarithmic(above, "People so far", "people")
    logarithmic(below, "People coming", "people per hour")
    legend(above)
    below.set_xlabel("hours after the launch", fontsize=8.5)
    return figure


def logarithmic(ax: Axes, title: str, y: str) -> None:
    """Logarithmic axes, for launches of hours and of months, of thousands and of millions, in one figure."""
    dress(ax, title, y)
    ax.set(xscale="log", yscale="log")
    ax.set_ylim(bottom=max(ax.get_ylim()[0], 100.0))
    ax.yaxis.set_major_formatter(amount_tick)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def fit_figure(counts: Counts, fits: list[Fit], futures: Fan) -> Figure:
    """People so far above, signups per hour below. futures: of these curves by their weight, over the times to draw."""
    figure, (above, below) = blank(5.6, rows=2)
    size, unit = (86400.0, "days") if futures.times[-1] > LONG else (HOUR, "hours")
    totals(counts, fits, futures, above, size)
    rates(counts, fits, futures, below, size)
    since = f"{counts.start:%d %b %Y %H:%M} UTC" if counts.start is not None else "the beginning"
    below.set_xlabel(f"{unit} after {since}", fontsize=8.5)
    for ax in (above, below):
        ax.set_xlim(0, futures.times[-1] / size)
        legend(ax)
    return figure


def totals(counts: Counts, fits: list[Fit], futures: Fan, ax: Axes, size: float) -> None:
    """People so far: counted, fitted, and the fan; times in units of `size` seconds."""
    shade(ax, futures.times / size, futures.totals)
    curves([fit.wave.cumulative(times_of(fit, futures)) for fit in fits], fits, futures, ax, size)
    ax.plot(counts.times / size, counts.totals, "o", color=INK, markersize=4, label="counted", zorder=5)
    dress(ax, "People so far", "people")
    count_axis(ax)
    ax.set_ylim(0, 1.15 * max(float(counts.totals[-1]), float(futures.totals[-1].max())))


def rates(counts: Counts, fits: list[Fit], futures: Fan, ax: Axes, size: float) -> None:
    """People per hour: counted from one point to the next, fitted, and the fan."""
    edges = np.append(0.0, counts.times)
    counted = np.diff(np.append(0.0, counts.totals)) / np.diff(edges)
    highest = max(float(counted.max()), float(futures.rates[-1].max()))
    shade(ax, futures.times / size, futures.rates * HOUR)
    speeds = [
        HOUR * np.where(np.isnan(times_of(fit, futures)), np.nan, fit.wave.rate_at(futures.times)) for fit in fits
    ]
    curves(speeds, fits, futures, ax, size)
    stairs(ax, counted * HOUR, edges / size, color=INK, linewidth=1.0, label="counted", zorder=5)
    dress(ax, "Signups", "people per hour")
    count_axis(ax)
    ax.set_ylim(0, 1.15 * highest * HOUR)


def times_of(fit: Fit, futures: Fan) -> np.ndarray:
    """The times at which a curve is drawn, in seconds; one that is no forecast ends with the data."""
    return futures.times if fit.forecasts else np.where(futures.times <= fit.last, futures.times, np.nan)


def curves(rows: list[np.ndarray], fits: list[Fit], futures: Fan, ax: Axes, size: float) -> None:
    """A line for each fit; the best fit's is thick, and in the colour of its fan."""
    for place, (fit, y) in enumerate(zip(fits, rows, strict=True)):
        width = 2.0 if place == 0 else 1.1
        ax.plot(futures.times / size, y, label=fit.model.name, linewidth=width, **style(place))


def shade(ax: Axes, x: np.ndarray, rows: np.ndarray) -> None:
    """The fan: the dark band holds half of the futures, the pale one 95 %."""
    for (low, high), alpha in SHADES.items():
        share = f"{round(100 * (QUANTILES[high] - QUANTILES[low]))} % of futures"
        ax.fill_between(x, rows[low], rows[high], color=BLUE, alpha=alpha, linewidth=0, label=share)
