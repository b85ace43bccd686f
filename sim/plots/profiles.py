"""Figures of latency profiles: seconds, throughput and energy per request against the batch, and the fitted form."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.plots.axes import blank, dress, legend, nothing, plain, style
from sim.profile.file import EACH_STEP
from sim.profile.profile import Profile
from sim.profile.service_time import BatchTimes, ComponentTimes, PipelineTimes, Size, Surface


def main_surface(profile: Profile) -> tuple[str, Surface] | None:
    """The component that runs each step, else the first; None for a pipeline measured whole."""
    if not isinstance(profile.times, ComponentTimes):
        return None
    surfaces = profile.times.surfaces
    name = next((n for n in EACH_STEP if n in surfaces), next(iter(surfaces)))
    return name, surfaces[name]


def curves(profile: Profile) -> dict[str, BatchTimes]:
    """The rows to draw by label: whole pipelines, or the component that runs each step."""
    if isinstance(profile.times, PipelineTimes):
        return {f"{profile.name} {side} px {steps} st": row for (side, steps, _), row in profile.times.rows.items()}
    found = main_surface(profile)
    if found is None:
        return {}
    return {f"{profile.name} {found[0]} {size_label(profile, size)}": row for size, row in found[1].rows.items()}


def size_label(profile: Profile, size: Size) -> str:
    unit = "tokens" if profile.file.feature == "chat" else "px"
    return f"{size[0]} {unit}" + (f" {size[1]} fr" if size[1] > 1 else "")


def latency(profiles: list[Profile], ax: Axes) -> None:
    """Median seconds against the batch; grey dashes are the fitted form, used for sizes not measured."""
    for place, (label, row) in enumerate(labelled(profiles)):
        ax.plot(row.batches, row.seconds, marker="o", markersize=3, label=plain(label, 44), **style(place))
    for profile in profiles:
        found = main_surface(profile)
        for size, row in found[1].rows.items() if found else ():
            batches = np.linspace(row.batches[0], row.batches[-1], 50)
            ax.plot(batches, [found[1].fitted(b, size) for b in batches], color="0.6", ls="--", lw=0.8)  # type: ignore[index]
    ax.set(xlabel="batch (requests)", yscale="log")
    dress(ax, "Latency", "seconds per batch (or per step of it)")
    legend(ax)


def throughput(profiles: list[Profile], ax: Axes) -> None:
    """Requests (or their steps) per second against the batch."""
    for place, (_, row) in enumerate(labelled(profiles)):
        ax.plot(row.batches, row.batches / row.seconds, marker="o", markersize=3, **style(place))
    ax.set(xlabel="batch (requests)", yscale="log")
    dress(ax, "Throughput", "requests (or their steps) per second")


def energy(profiles: list[Profile], ax: Axes) -> None:
    """Joules of the GPU per request (or per step of it) against the batch, where power is known."""
    known = False
    for place, (_, row) in enumerate(labelled(profiles)):
        joules = row.watts * row.seconds / row.batches
        known = known or not np.isnan(joules).all()
        ax.plot(row.batches, joules, marker="o", markersize=3, **style(place))
    ax.set(xlabel="batch (requests)")
    dress(ax, "Energy of the GPU", "joules per request (or per step of it)")
    if known:
        ax.set_yscale("log")
    else:
        nothing(ax, "no power was measured")


def labelled(profiles: list[Profile]) -> list[tuple[str, BatchTimes]]:
    return [(label, row) for profile in profiles for label, row in curves(profile).items()]


def profile_figure(profiles: list[Profile]) -> Figure:
    """Latency, throughput and energy of one or several profiles, one above the other."""
    figure, (above, middle, below) = blank(8.4, rows=3, room=0.72)
    latency(profiles, above)
    throughput(profiles, middle)
    energy(profiles, below)
    return figure
