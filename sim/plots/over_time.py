"""Figures of one run over time: waits by tier, the fleet with what was ordered, power, clock and loading."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from sim.model.knobs import POOL_KNOBS, SLOWDOWN, decided_name
from sim.plots import axes
from sim.results.energy import power_by_hour
from sim.results.latencies import waits_over_time
from sim.results.metrics import pool_timeline
from sim.results.run import Run

TITLES = {
    "wait": "Wait for a GPU, of served requests, by when they came",
    "latency": "Latency of all requests, by when they were wanted",
}
TICKS = {
    0.0: "0", 1.0: "1 s", 10.0: "10 s", 60.0: "1 min", 600.0: "10 min",
    3600.0: "1 h", 36_000.0: "10 h", 172_800.0: "2 days", 1_728_000.0: "20 days",
}  # fmt: skip
STATES = {  # colour and hatch of GPUs that are not in service
    "failed": (axes.VERMILLION, "xx"),
    "moving": (axes.PURPLE, ".."),
    "switched_off": (axes.GREY, ""),
    "ordered": (axes.ORANGE, "//"),
}


def waits(run: Run, what: str, ax: Axes, table: pd.DataFrame | None = None) -> None:
    """Median (solid) and p95 (dashed) over time, a colour per tier. what: 'wait' or 'latency'.

    table: waits_over_time(run), to save making it again. A quantile of requests that never got an image lies at the
    top, at 'never'. A run without every row has a text instead.
    """
    axes.dress(ax, TITLES[what], "log above 1 s")
    axes.date_axis(ax, run)
    if not run.has_rows:
        return axes.nothing(ax, "not known: this run kept no row for each request ('record: rows' keeps them)")
    table = waits_over_time(run) if table is None else table
    mine = table[table["what"] == what]
    finite = mine[["p50", "p95"]].to_numpy(float)
    finite = finite[np.isfinite(finite)]
    top = next((tick for tick in TICKS if tick > finite.max(initial=1.0)), max(TICKS))
    never = 3.0 * top
    for place, tier in enumerate(run.manifest["tiers"]):
        of_tier = mine[mine["tier"] == tier]
        at = axes.dates(run, of_tier["time"])
        colour = axes.CYCLE[place % len(axes.CYCLE)]
        for quantile, called, line, width in (("p50", "median", "-", 1.6), ("p95", "p95", "--", 1.0)):
            y = of_tier[quantile].replace(math.inf, never).to_numpy(float)
            label = f"{axes.plain(tier, 14)}, {called}"
            if np.isfinite(y).any():
                ax.plot(at, y, line, color=colour, linewidth=width, label=label, drawstyle="steps-post")
    if not ax.lines:
        return axes.nothing(ax, "no request")
    wait_axis(ax, top, never if np.isinf(mine[["p50", "p95"]].to_numpy(float)).any() else None)
    axes.legend(ax)
    return None


def wait_axis(ax: Axes, top: float, never: float | None) -> None:
    """A y-axis in words from 0 to a tick, and above it 'never' where some values are there."""
    ticks = {tick: text for tick, text in TICKS.items() if tick <= top}
    if never is not None:
        ticks[never] = "never"
    ax.set_yscale("symlog", linthresh=1.0, linscale=0.4)
    ax.set_ylim(0, 1.4 * max(ticks))
    ax.yaxis.set_major_locator(FixedLocator(sorted(ticks)))
    ax.yaxis.set_major_formatter(lambda y, _: ticks.get(y, ""))
    ax.yaxis.set_minor_locator(NullLocator())


def fleet(run: Run, pool: str, ax: Axes, table: pd.DataFrame | None = None) -> None:
    """GPUs of a pool in service; on top of them those that are ordered, failed or elsewhere; and, in GPUs, the work of
    first requests, as they were asked for.

    table: pool_timeline(run, pool), to save making it again.
    """
    table = pool_timeline(run, pool) if table is None else table
    changes = run.fleet[run.fleet["pool"] == pool]
    moments = np.unique(np.append(changes["time"].to_numpy(float), [0.0, run.horizon]))
    below = heights(changes, "change", moments) / run.scale
    at = axes.dates(run, moments)
    ax.fill_between(at, below, step="post", color=axes.BLUE, alpha=0.22, linewidth=0)
    ax.step(at, below, where="post", color=axes.BLUE, linewidth=1.6, label="in service")
    for state, (colour, hatch) in STATES.items():
        some = heights(changes, state, moments) / run.scale
        if some.any():
            style: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.0}
            name = state.replace("_", " ")
            ax.fill_between(at, below, below + some, step="post", alpha=0.75, label=name, **style)
            below = below + some
    work = table["offered_first"] * table["gpus"] / run.scale
    axes.stairs(ax, work, axes.edges(run, table), color=axes.INK, linewidth=1.0, linestyle="--", label="first requests")
    axes.over_dates(ax, run, f"GPUs of pool {axes.plain(pool)}", "GPUs")


def heights(changes: pd.DataFrame, state: str, moments: np.ndarray) -> np.ndarray:
    """How many GPUs of the slice are in a state from each moment on."""
    order = np.argsort(changes["time"].to_numpy(float), kind="stable")
    times, steps = changes["time"].to_numpy(float)[order], changes[state].to_numpy(float)[order]
    reached = np.searchsorted(times, moments, side="right")
    return np.concatenate([[0.0], np.cumsum(steps)])[reached]


def power(run: Run, ax: Axes) -> None:
    """Power at the meter by the hour, and the part of it that the servers draw; of the whole service."""
    table = power_by_hour(run)
    size, unit = (1000.0, "MW") if table["kw"].max() >= 1000 else (1.0, "kW")
    axes.dress(ax, "Power", unit)
    axes.date_axis(ax, run)
    if not np.isfinite(table["kw"]).any():
        return axes.nothing(ax, "not known: a profile that was used has no power figures")
    at = axes.dates(run, np.append(table.index.to_numpy(), run.horizon))
    axes.stairs(ax, table["kw"] / size, at, baseline=None, color=axes.INK, linewidth=1.4, label="at the meter")
    axes.stairs(ax, table["it_kw"] / size, at, fill=True, color=axes.GREEN, alpha=0.3, label="of the servers")
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(axes.amount_tick)
    axes.legend(ax)
    return None


def clock_over_time(run: Run, pool: str) -> tuple[np.ndarray, np.ndarray]:
    """Seconds, and the share of its full clock at which a pool's GPUs run from each on: heat, power caps, slowdowns."""
    rows = run.decisions[run.decisions["knob"] == decided_name(POOL_KNOBS.knobs[SLOWDOWN], pool=pool)]
    return np.append(0.0, rows["time"].to_numpy(float)), np.append(1.0, 1.0 / rows["new"].to_numpy(float))


def clock(run: Run, ax: Axes, tables: dict[str, pd.DataFrame]) -> None:
    """The clock of each pool's GPUs, and the share of its GPU time that loads models. tables: pool_timeline by pool."""
    for place, (pool, table) in enumerate(tables.items()):
        style, name = axes.style(place), axes.plain(pool, 14)
        since, share = clock_over_time(run, pool)
        at = axes.dates(run, np.append(since, run.horizon))
        ax.step(at, 100 * np.append(share, share[-1]), where="post", linewidth=1.4, label=f"{name}: clock", **style)
        if table["loading"].any():
            loading = 100 * table["loading"].to_numpy(float)
            colour = style["color"]
            label = f"{name}: loading"
            axes.stairs(ax, loading, axes.edges(run, table), fill=True, color=colour, alpha=0.3, label=label)
    title = "Clock of the GPUs, and time spent on loading models"
    axes.over_dates(ax, run, title, "% of full clock,\n% of GPU time", counts=False)
    ax.set_ylim(0, 105)


def slowed_or_loading(run: Run, tables: dict[str, pd.DataFrame]) -> bool:
    """Whether a figure of clocks and loading has something to show."""
    return any(len(clock_over_time(run, pool)[0]) > 1 or table["loading"].any() for pool, table in tables.items())
