"""Generated demand against recorded, panel by panel."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sim.plots.axes import BLUE, INK, blank, dress
from sim.studies.demand_comparison import DAY, HOUR, Arrivals, day_counts, pauses, session_sizes

Floats = NDArray[np.float64]


def check_figure(recorded: Arrivals, generated: list[Arrivals]) -> Figure:
    """How much users request, when, and how they pause: the recording in black, each generated run in blue."""
    figure, axes = blank(7.2, rows=3, columns=2, room=1.0)
    first, any_day, sessions, thoughts, hours, days = axes
    for place, arrivals in enumerate([*generated, recorded]):
        last = place == len(generated)
        look: dict[str, Any] = {
            "color": INK if last else BLUE,
            "linewidth": 1.6 if last else 0.8,
            "alpha": 1.0 if last else 0.5,
        }
        label = "recorded" if last else "generated" if place == 0 else None
        above(first, day_counts(arrivals, first=True), look, label)
        above(any_day, np.bincount(arrivals.user), look, label)
        above(sessions, session_sizes(arrivals), look, label)
        thought = np.sort(pauses(arrivals))
        thoughts.plot(thought, np.linspace(0, 100, len(thought)), label=label, **look)
        by_hour = np.bincount(((arrivals.times - arrivals.day_starts) % DAY // HOUR).astype(int), minlength=24)
        hours.stairs(by_hour / by_hour.mean(), np.arange(25), label=label, **look)
        by_day = np.bincount((arrivals.times // DAY).astype(int))
        days.stairs(by_day, np.arange(len(by_day) + 1), label=label, **look)
    dress(first, "Requests per user on the first day", "% of users with more than x")
    dress(any_day, "Requests per user in all", "% of users with more than x")
    dress(sessions, "Requests per session", "% of sessions with more than x")
    for ax in (first, any_day, sessions):
        ax.set(xscale="log", yscale="log")
    thoughts.set(xscale="log", xlim=(1, 1800))
    dress(thoughts, "Seconds from an image to the next request", "% that are shorter")
    dress(hours, "Hours after the quietest", "requests, times the mean")
    dress(days, "Day", "requests")
    first.legend(fontsize=8, frameon=False)
    return figure


def above(ax: Axes, counts: NDArray[np.int64], look: dict[str, Any], label: str | None) -> None:
    """The share of counts above each value."""
    ordered = np.sort(counts[counts > 0])
    ax.step(ordered, 100 * (1 - np.arange(1, len(ordered) + 1) / len(ordered)), where="post", label=label, **look)
