"""Signup waves of presets: people who have come by each time, and people per hour."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.demand.waves.launches import Preset
from sim.plots.axes import amount_tick, blank, dress, legend, plain, style

HOUR = 3600.0


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
