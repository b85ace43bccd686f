"""Figures of one run: demand, queues, load and outcomes over time, the distribution of latency, what became of all."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from sim.plots import axes
from sim.plots.marks import mark_decisions
from sim.results.cohort import IN_TIME, IN_TIME_DEGRADED, LATE, LEFT, REFUSED, WANTED, cohort
from sim.results.intents import intents
from sim.results.latencies import distribution, histograms, samples_by_group
from sim.results.metrics import pool_timeline, stretches, timeline
from sim.results.run import Run
from sim.wording import amount, from_to, in_gpus, percent, rate_unit

# In the order of stacking; from dark to light and back, for a grey print.
OUTCOMES = {"served": axes.BLUE, "degraded": axes.SKY, "refused": axes.YELLOW, "abandoned": axes.VERMILLION}
UNITS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "days"))
TICKS = {
    0.1: "0.1 s",
    **{size * n: f"{n} {unit}" for size, unit in UNITS for n in (1, 3, 10, 30) if (unit, n) != ("h", 30)},
}
BETWEEN = {size * n: f"{n} {unit}" for size, unit in UNITS for n in (2, 5, 20) if (unit, n) != ("h", 20)}
MOST_POINTS = 400  # of a drawn distribution; more cannot be seen
COLOURS = {
    WANTED: axes.GREY,
    IN_TIME: axes.BLUE,
    IN_TIME_DEGRADED: axes.SKY,
    LATE: axes.ORANGE,
    REFUSED: axes.YELLOW,
    LEFT: axes.VERMILLION,
}
DARK = (axes.GREY, axes.BLUE, axes.VERMILLION)


def rates(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The counts of a timeline as full-scale rates per second."""
    lengths = np.diff(np.append(table.index.to_numpy(), run.horizon))
    return table.div(lengths * run.scale, axis=0)


def signups(run: Run, ax: Axes, table: pd.DataFrame | None = None) -> None:
    """Signups over time, at full scale. table: metrics.timeline(run), to save making it again."""
    table = timeline(run) if table is None else table
    rate = rates(run, table)["signups"]
    size, unit = rate_unit(rate.max())
    axes.stairs(ax, rate * size, axes.edges(run, table), fill=True, color=axes.SKY)
    axes.stairs(ax, rate * size, axes.edges(run, table), color=axes.BLUE, linewidth=1.2)
    axes.dress(ax, "Signups", f"people per {unit}")
    axes.count_axis(ax)
    axes.date_axis(ax, run)


def demand(run: Run, ax: Axes, table: pd.DataFrame | None = None) -> None:
    """Requests over time, at full scale: first requests, and retries on top of them."""
    table = timeline(run) if table is None else table
    rate, at = rates(run, table), axes.edges(run, table)
    size, unit = rate_unit(rate["attempts"].max())
    first, every = rate["intents"] * size, rate["attempts"] * size
    axes.stairs(ax, every, at, baseline=first, fill=True, color=axes.ORANGE, alpha=0.5, label="retries")
    axes.stairs(ax, every, at, color=axes.VERMILLION, linewidth=1.1, linestyle="--", label="all attempts")
    axes.stairs(ax, first, at, color=axes.BLUE, linewidth=1.4, label="first requests")
    axes.over_dates(ax, run, "Requests", f"requests per {unit}")


def queue(run: Run, ax: Axes, tables: dict[str, pd.DataFrame] | None = None) -> None:
    """Requests waiting in each pool's queue, over time, at full scale. tables: pool_timeline() by pool."""
    tables = {pool: pool_timeline(run, pool) for pool in run.manifest["pools"]} if tables is None else tables
    for place, (pool, table) in enumerate(tables.items()):
        waiting = table["queued"] / run.scale
        axes.stairs(ax, waiting, axes.edges(run, table), label=axes.plain(pool, 20), linewidth=1.4, **axes.style(place))
    axes.over_dates(ax, run, "Queue", "requests waiting")


def load(run: Run, pool: str, ax: Axes, table: pd.DataFrame | None = None) -> None:
    """One pool's offered load and utilisation against its capacity, with the time of saturation shaded."""
    table = pool_timeline(run, pool) if table is None else table
    at = axes.edges(run, table)
    for begin, end in stretches(table["saturated"], run.horizon):
        span = axes.dates(run, [begin, end])
        ax.axvspan(*span, facecolor=axes.ORANGE, edgecolor="none", alpha=0.22, zorder=0.5)
    if table["saturated"].any():
        ax.fill_between([], [], color=axes.ORANGE, alpha=0.22, linewidth=0, label="saturated")
    axes.stairs(
        ax, table["offered"], at, color=axes.VERMILLION, linewidth=1.0, linestyle="--", label="load with retries"
    )
    axes.stairs(ax, table["offered_first"], at, color=axes.INK, linewidth=1.2, label="load of first requests")
    axes.stairs(ax, table["utilisation"], at, fill=True, color=axes.BLUE, alpha=0.18)
    axes.stairs(ax, table["utilisation"], at, color=axes.BLUE, linewidth=1.2, label="GPUs busy")
    if table["loading"].any():
        top, below = table["utilisation"], table["serving"]
        axes.stairs(ax, top, at, baseline=below, fill=True, color=axes.YELLOW, alpha=0.6, label="loading models")
    ax.axhline(1.0, color=axes.GREY, linewidth=1.0, linestyle=":", label="capacity")
    gpus = from_to(*(amount(float(size) / run.scale) for size in (table["gpus"].min(), table["gpus"].max())))
    title = f"Load of pool {axes.plain(pool)} ({in_gpus(gpus)})"
    axes.over_dates(ax, run, title, "share of capacity", counts=False)
    load_axis(ax, float(table["offered"].max()))


def load_axis(ax: Axes, peak: float) -> None:
    """From 0 to a bit above the peak; where that is many times the capacity, logarithmic above 100 %."""
    if peak > 4:
        ax.set_yscale("symlog", linthresh=1.0, linscale=1.0)
        ticks = [0.0, 0.5, 1.0, *(x for x in (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, 10000.0) if x < peak * 1.5)]
        ax.yaxis.set_major_locator(FixedLocator(ticks))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_ylabel("of capacity, log above 100 %", fontsize=8.5)
    ax.set_ylim(0, max(1.1, peak * 1.05))
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:,.0f} %".replace(",", " "))


def outcomes(run: Run, ax: Axes, table: pd.DataFrame | None = None) -> None:
    """Outcomes of attempts when they happen, stacked, at full scale, with the decisions of policies marked."""
    table = timeline(run) if table is None else table
    rate, at = rates(run, table)[list(OUTCOMES)], axes.edges(run, table)
    tops = rate.cumsum(axis=1)
    size, unit = rate_unit(tops.iloc[:, -1].max())
    below = np.zeros(len(rate))
    for name, colour in OUTCOMES.items():
        top = tops[name].to_numpy() * size
        axes.stairs(
            ax, top, at, baseline=below, fill=True, facecolor=colour, edgecolor="white", linewidth=0.2, label=name
        )
        below = top
    axes.stairs(ax, below, at, color=axes.INK, linewidth=0.6)
    axes.over_dates(ax, run, "Outcomes of attempts", f"attempts per {unit}", rows=mark_decisions(run, ax))


def latency(run: Run, ax: Axes) -> None:
    """The share of requests with an image within x, one curve per tier; those without an image keep it below 100 %."""
    title = "Latency of all requests, including those without an image"
    time = "time since the image was first wanted (logarithmic)"
    axes.dress(ax, title, "requests with an image within", time)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    ax.set_ylim(0, 1.02)
    ends = [float(f["slo"]) for f in run.manifest["features"].values() if f["slo"] < np.inf]
    curves = latency_curves(run)
    for place, tier in enumerate(run.manifest["tiers"]):
        if tier not in curves:
            continue
        x, y = curves[tier]
        name = f"{axes.plain(tier, 14)}: {100 * y[-1]:.3g} % ever"
        ax.plot(x, y, drawstyle="steps-post", linewidth=1.5, label=name, **axes.style(place))
        ends += [x[0], x[-1]]
    if not ax.lines:
        return axes.nothing(ax, "no image was served")
    mark_slos(run, ax)
    time_axis(ax, min(ends), max(ends))
    axes.legend(ax)
    return None


def latency_curves(run: Run) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each tier with served requests: seconds, and the share of requests with an image by then."""
    if not run.has_rows:
        return {
            tier: distribution(buckets)
            for (of, _, tier), buckets in histograms(run, "tier").items()
            if of == "all intents" and buckets[:-1].any()
        }
    wishes, curves = intents(run), {}
    decided = wishes["decided"].to_numpy()
    for tier, values in samples_by_group(wishes["tier"].array[decided], wishes["latency"].to_numpy()[decided]):
        found = np.sort(values[np.isfinite(values)])
        if len(found):
            curves[tier] = thinned(found, len(values))
    return curves


def thinned(found: np.ndarray, of: float) -> tuple[np.ndarray, np.ndarray]:
    """A distribution's curve in few points: evenly in share and, for its ends, evenly in the logarithm of time."""
    found = np.maximum(found, 1e-3)
    by_share = np.linspace(0, len(found) - 1, MOST_POINTS).astype(int)
    by_time = np.searchsorted(found, np.geomspace(found[0], found[-1], MOST_POINTS), side="right") - 1
    keep = np.unique(np.concatenate([by_share, np.clip(by_time, 0, None), [0, len(found) - 1]]))
    return np.append(found[0], found[keep]), np.append(0.0, (keep + 1) / of)


def mark_slos(run: Run, ax: Axes) -> None:
    """A thin line at each SLO, with the features that have it."""
    slos: dict[float, list[str]] = {}
    for name, facts in run.manifest["features"].items():
        if facts["slo"] < np.inf:
            slos.setdefault(float(facts["slo"]), []).append(name)
    for slo, features in slos.items():
        ax.axvline(slo, color=axes.GREY, linewidth=0.9, linestyle=":")
        text = "SLO " + axes.plain(", ".join(features), 24)
        axes.note(ax, text, (slo, 0.02), (-2, 0), rotation=90, ha="right")


def time_axis(ax: Axes, shortest: float, longest: float) -> None:
    """A logarithmic x-axis with ticks that read 10 s, 1 min, 1 h."""
    ax.set_xscale("log")
    low, high = shortest / 1.3, longest * 1.3
    ax.set_xlim(low, high)
    ticks = {x: text for x, text in TICKS.items() if low <= x <= high}
    if len(ticks) < 3:
        ticks |= {x: text for x, text in BETWEEN.items() if low <= x <= high}
    ax.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    ax.xaxis.set_major_formatter(lambda x, _: ticks.get(x, f"{x:g} s"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(True, axis="x", color="#eeeeee", linewidth=0.6)


def cohort_bars(run: Run, ax: Axes) -> None:
    """Requests at full scale by what became of them."""
    parts = cohort(run)
    whole, begin = parts[WANTED], 0.0
    axes.dress(ax, "What became of the requests", "", "requests" if whole else None)
    if not whole:
        return axes.nothing(ax, "nothing was wanted")
    for place, (name, count) in enumerate(parts.items()):
        left = 0.0 if name == WANTED else begin
        colour = COLOURS.get(name, axes.PURPLE)
        ax.barh(-place, count, left=left, height=0.62, color=colour, edgecolor=axes.INK, linewidth=0.4)
        text = amount(count) if name == WANTED else f"{amount(count)} ({percent(count / whole)})"
        x, side, shift, ink = label_place(left, count, whole, colour)
        ax.annotate(text, (x, -place), (shift, 0), textcoords="offset points", ha=side, va="center", size=8, color=ink)
        begin += 0.0 if name == WANTED else count
    ax.set_yticks([-place for place in range(len(parts))], list(parts))
    ax.set_xlim(0, whole)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(axes.amount_tick)
    ax.grid(False, axis="y")
    return None


def label_place(left: float, count: float, whole: float, colour: str) -> tuple[float, str, int, str]:
    """Where a bar's label stands (anchor, side, shift in points) and its colour: in the bar where it has room."""
    if count > 0.28 * whole:
        return left, "left", 4, "white" if colour in DARK else axes.INK
    if left + count < 0.72 * whole:
        return left + count, "left", 4, axes.INK
    return left, "right", -4, axes.INK
