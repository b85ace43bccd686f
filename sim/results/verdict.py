"""The verdict: is the service alive, what saturated and when, what became of people's wishes, and what it cost."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sim.model.request import SERVED
from sim.results import binned
from sim.results.costs import consumed, dollars, energy, gpu_hours
from sim.results.dates import date_of
from sim.results.latencies import latencies
from sim.results.metrics import (
    attempts_in,
    bins,
    intents,
    looked_up,
    outcomes,
    peak_queue,
    pool_timeline,
    queue_spans,
    refused_by,
    saturation,
    was_granted,
    window_of,
)
from sim.results.run import Run
from sim.results.storms import said_of_stay, stays
from sim.results.timeline import ERROR
from sim.wording import amount, duration, percent, three_figures

__all__ = [
    "Life",
    "PoolVerdict",
    "Verdict",
    "amount",
    "date_of",
    "duration",
    "life",
    "percent",
    "pool_verdict",
    "sentences",
    "signups",
    "stretches",
    "three_figures",
    "verdict",
    "warnings",
]


@dataclass(frozen=True)
class Life:
    """Whether the service is alive by the scenario's definition, and the figures that decide it."""

    alive: bool
    good_windows: float  # share of the windows with granted requests that kept their promise
    attainment: float
    dead: list[tuple[float, float]]  # windows that did not, as (from, until) in seconds


@dataclass(frozen=True)
class PoolVerdict:
    """One pool: saturation, queue, what the peak would have needed, and what filled it. Times in seconds."""

    name: str
    first_saturated: float  # nan: never
    saturated: float  # seconds in all
    saturated_at_horizon: bool
    peak_load: float  # largest hourly mean of work asked for the first time, over capacity
    gpus: int
    fleet: tuple[float, float]  # fewest and most GPUs in service, means of an hour
    gpus_needed: int  # at full scale: carries the peak hour, all asks served as asked, no headroom
    peak_queue: float
    peak_queue_at: float
    drain: float  # seconds from the peak to an empty queue; nan: not before the horizon
    queued_at_horizon: int
    consumed: pd.DataFrame  # shares of GPU time while saturated (else of the whole run)


@dataclass(frozen=True)
class Verdict:
    """All that is said about one run; counts are of the simulated slice."""

    run: Run
    life: Life
    pools: list[PoolVerdict]
    counts: dict[str, float]
    refused: pd.DataFrame
    latency: pd.DataFrame
    goodput: float  # images in time at the spec asked for, a second
    goodput_degraded: float
    gpu_hours: pd.DataFrame
    dollars: float
    energy: dict[str, float]
    signups: dict[str, int]
    churned: int

    @property
    def overloaded_at_horizon(self) -> bool:
        """Whether the run ends in saturation: then its averages depend on where it was cut."""
        return any(pool.saturated_at_horizon for pool in self.pools)

    def full(self, count: float) -> float:
        """A count of the slice at full scale."""
        return count / self.run.scale


def verdict(run: Run) -> Verdict:
    """Judge a run over its whole window (warm-up to horizon)."""
    begin, end = span = window_of(run, None)
    exact = binned.serves(run, *span)
    as_asked, degraded = binned.images(run, span) if exact else images_in_time(intents(run))
    return Verdict(
        run=run,
        life=life(run),
        pools=[pool_verdict(run, pool) for pool in run.manifest["pools"]],
        counts=outcomes(run).to_dict("records")[0],  # type: ignore[arg-type]
        refused=refused_by(run),
        latency=latencies(run),
        goodput=as_asked / (end - begin),
        goodput_degraded=degraded / (end - begin),
        gpu_hours=gpu_hours(run),
        dollars=dollars(run),
        energy=energy(run),
        signups=signups(run),
        churned=churned(run),
    )


def images_in_time(wishes: pd.DataFrame) -> tuple[float, float]:
    """Images that came in time, at the spec asked for and degraded."""
    good = wishes[wishes["in_time"]]
    return float(good.loc[~good["degraded"], "images"].sum()), float(good.loc[good["degraded"], "images"].sum())


def life(run: Run) -> Life:
    """Apply the scenario's definition of alive (see sim.scenario.scenario.Alive)."""
    rule = run.manifest["alive"]
    edges = bins(run, rule["window"], begin=window_of(run, None)[0])
    total, good = binned.windows(run, edges) if binned.serves(run, *edges) else promises(run, edges)
    used = total > 0
    fine = good[used] / total[used] >= rule["kept"]
    share = float(fine.mean()) if used.any() else math.nan
    reached = float(outcomes(run)["attainment"].iloc[0])
    starts, ends = edges[:-1][used][~fine], edges[1:][used][~fine]
    dead = share < rule["windows"] or reached < rule["attainment"]  # nan: nobody was promised anything, or asked
    return Life(not dead, share, reached, list(zip(starts.tolist(), ends.tolist(), strict=True)))


def promises(run: Run, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the requests granted in each window, how many can be judged, and got their image in time."""
    rows = attempts_in(run)
    slo = looked_up(rows["feature"], {name: facts["slo"] for name, facts in run.manifest["features"].items()})
    granted = was_granted(rows).to_numpy()
    kept = (rows["outcome"] == SERVED).to_numpy() & ((rows["finished"] - rows["arrived"]).to_numpy() <= slo)
    # A request too young at the horizon to have missed its SLO says nothing yet.
    judged = granted & (kept | (run.horizon - rows["arrived"].to_numpy() > slo))
    arrived = rows["arrived"].to_numpy()
    total, good = (np.histogram(arrived[mask], edges)[0] for mask in (judged, kept))
    return total, good


def pool_verdict(run: Run, pool: str) -> PoolVerdict:
    facts = run.manifest["pools"][pool]
    hot, peak = saturation(run, pool), peak_queue(run, pool)
    window = window_of(run, None)
    hours = pool_timeline(run, pool, 3600.0, window[0])
    needed = float((hours["offered_first"] * hours["gpus"]).max())
    spans = stretches(pool_timeline(run, pool, begin=window[0])["saturated"], run.horizon) or [window]
    return PoolVerdict(
        name=pool,
        first_saturated=hot["first"],
        saturated=hot["total"],
        saturated_at_horizon=bool(hot["at_horizon"]),
        peak_load=float(hours["offered_first"].max()),
        gpus=facts["gpus"],
        fleet=(float(hours["gpus"].min()), float(hours["gpus"].max())),
        gpus_needed=math.ceil(needed / run.scale - 1e-9),
        peak_queue=peak["peak"],
        peak_queue_at=peak["at"],
        drain=peak["drain"],
        queued_at_horizon=queued_at_horizon(run, pool),
        consumed=consumed(run, pool, spans),
    )


def queued_at_horizon(run: Run, pool: str) -> int:
    return binned.peak(run, pool)[3] if run.timeline is not None else int(np.isnan(queue_spans(run, pool)[1]).sum())


def stretches(flags: pd.Series, horizon: float) -> list[tuple[float, float]]:
    """The spans (from, until) in seconds over which a flag of a timeline is up."""
    starts = flags.index.to_numpy()
    ends = np.append(starts[1:], horizon)
    spans: list[tuple[float, float]] = []
    for up, start, end in zip(flags.to_numpy(), starts.tolist(), ends.tolist(), strict=True):
        if up and spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        elif up:
            spans.append((start, end))
    return spans


def signups(run: Run) -> dict[str, int]:
    """People who came to sign up: in all, let in, gave up on the waitlist (lost), still on it; invited by images."""
    if run.timeline is not None:
        p = run.timeline.people
        waiting = p["came"] - p["let_in"] - p["lost"]
        return {**{name: p[name] for name in ("came", "let_in", "lost", "invited")}, "waiting": waiting}
    people = run.users[run.users["newcomer"]]
    came, inside = len(people), int(people["admitted"].notna().sum())
    lost = int((people["admitted"].isna() & people["left"].notna()).sum())
    invited = int(people["invited_by"].notna().sum())
    return {"came": came, "let_in": inside, "lost": lost, "waiting": came - inside - lost, "invited": invited}


def churned(run: Run) -> int:
    """People who were let in and have left for good."""
    if run.timeline is not None:
        return run.timeline.people["churned"]
    return int((run.users["left"].notna() & run.users["admitted"].notna()).sum())


def people_in(run: Run) -> int:
    """Everybody who arrived, or would have before the horizon."""
    return len(run.users) if run.timeline is None else run.timeline.people["everybody"]


def sentences(v: Verdict) -> list[str]:
    """The verdict in plain sentences, counts at full scale."""
    c, scale = v.counts, v.run.scale
    lines = [
        f"{'ALIVE' if v.life.alive else 'NOT ALIVE'} under playbook '{v.run.manifest['playbook']}': "
        f"{percent(v.life.good_windows)} of the {duration(v.run.manifest['alive']['window'])} windows kept their "
        f"promise, and {percent(v.life.attainment)} of all asks got an image in time."
    ]
    lines += [pool_sentence(v, pool) for pool in v.pools]
    lines += [
        f"{amount(c['intents'] / scale)} images wanted: {amount(c['served'] / scale)} served "
        f"({amount(c['degraded'] / scale)} degraded), {amount(c['lost'] / scale)} lost, "
        f"{amount(c['unfinished'] / scale)} unfinished; {amount(c['attempts'] / scale)} attempts, of which "
        f"{amount(c['refused'] / scale)} refused, {amount(c['abandoned'] / scale)} abandoned, "
        f"{amount(c['retried'] / scale)} retries.",
        cost_sentence(v),
    ]
    s = v.signups
    lines.append(
        f"{amount(s['came'] / scale)} signups{invited(v)}: {amount(s['lost'] / scale)} lost on the waitlist, "
        f"{amount(s['waiting'] / scale)} still on it; {amount(v.churned / scale)} people left for good."
    )
    return lines + warnings(v)


def pool_sentence(v: Verdict, pool: PoolVerdict) -> str:
    few, many = (v.full(gpus) for gpus in pool.fleet)
    size = amount(v.full(pool.gpus)) if few == many else f"{amount(few)} to {amount(many)}"
    peak = f"the peak hour asks for {percent(pool.peak_load)} of its {size} GPUs"
    if math.isnan(pool.first_saturated):
        return f"Pool '{pool.name}' never saturates: {peak}."
    top = pool.consumed.iloc[0]
    drained = "not drained by the horizon" if math.isnan(pool.drain) else f"drained in {duration(pool.drain)}"
    parts = [
        f"Pool '{pool.name}' saturates after {duration(pool.first_saturated)}",
        f"({date_of(v.run, pool.first_saturated)} UTC) and for {duration(pool.saturated)} in all:",
        f"{peak}, so at least {amount(pool.gpus_needed)} were needed.",
        f"Longest queue {amount(v.full(pool.peak_queue))} requests, {drained}.",
        f"While saturated, {percent(top['share'])} of its time went to {top['feature']} for {top['tier']}"
        f"{' that nobody waited for any more' if top['wasted'] else ''}.",
    ]
    return " ".join(parts)


def cost_sentence(v: Verdict) -> str:
    hours, scale = v.gpu_hours.sum() / v.run.scale, v.run.scale
    served = max(v.counts["served"], 1)
    return (
        f"{amount(hours['total'])} GPU-hours ({percent(hours['useful'] / hours['total'])} useful, "
        f"{percent(hours['wasted'] / hours['total'])} wasted, {percent(hours['idle'] / hours['total'])} idle), "
        f"${amount(v.dollars / scale)} (${v.dollars / served:.3g} a served request), "
        f"{amount(v.energy['kwh'] / scale / 1000)} MWh, {amount(v.energy['kg_co2e'] / scale / 1000)} t CO2e."
    )


def invited(v: Verdict) -> str:
    """How many of the signups images brought, where they bring any."""
    if v.run.manifest["word_of_mouth"] is None:
        return ""
    count, people = v.signups["invited"], people_in(v.run)
    return f" ({amount(v.full(count))} of them brought by images, {count / max(people, 1):.2f} a person)"


def warnings(v: Verdict) -> list[str]:
    """What a reader must know before believing the rest."""
    found = []
    if v.counts["intents"] == 0:
        found.append("NOBODY CAME: no image was wanted in this run, so nothing it says of the service means anything.")
    if v.overloaded_at_horizon:
        hot = ", ".join(pool.name for pool in v.pools if pool.saturated_at_horizon)
        found.append(
            f"OVERLOADED AT THE HORIZON: {hot} is still saturated when the run ends; waits and totals "
            "depend on where it was cut."
        )
    found += [said_of_stay(v.run, stay) for stay in stays(v.run)]
    word = v.run.manifest["word_of_mouth"]
    if word is not None and word["factor"] >= 1:
        found.append(
            f"WORD OF MOUTH ABOVE 1: each person would bring {word['factor']:.2f} more, so growth ends only where the "
            f"market of {amount(word['market'])} people does; totals depend on that guess."
        )
    if v.run.manifest["extrapolated"]:
        found.append(
            "EXTRAPOLATED: service times of "
            + ", ".join(v.run.manifest["extrapolated"])
            + " lie outside what was measured."
        )
    if not v.run.has_rows:
        found.append(
            f"FROM THE TIMELINE: counts are exact, quantiles of waits within {100 * ERROR:.1f} % of themselves."
        )
    if v.run.scale < 1:
        found.append(f"A slice of 1/{1 / v.run.scale:g} of people and GPUs was simulated; counts are scaled up.")
    return found
