"""The verdict: is the service alive, which pools saturated and when, what became of requests, and what it cost."""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from sim.demand.sources import seconds_after
from sim.errors import refuse_other
from sim.model.knobs import SIGNUP_RATE
from sim.policies.base import ABSENT
from sim.results.costs import dollars, gpu_hours
from sim.results.counting import timeline_of
from sim.results.energy import NOT_KNOWN, energy
from sim.results.intents import Floats, intents, window_of
from sim.results.latencies import latencies, latency_sentence
from sim.results.metrics import bins, counted, default_bin, images_in_time, outcomes, recorded, refused_by
from sim.results.money import Money, each, image_or_chat, money_of, money_sentences
from sim.results.offered import with_offered_load
from sim.results.pool_verdict import MUCH, PoolVerdict, pool_sentence, pool_verdicts
from sim.results.run import Run
from sim.results.storms import Stay, stay_warning, stays
from sim.results.timeline import ERROR, IMAGES, JUDGED, KEPT
from sim.results.warm_up import warm_up_sentences
from sim.scenario.fields import ScenarioFields
from sim.scenario.slices import FEW_GPUS, as_ratio
from sim.units import instant, seconds
from sim.wording import amount, duration, in_gpus, percent


@dataclass(frozen=True)
class Life:
    """Whether the service is alive by the scenario's definition, and the figures that decide it."""

    alive: bool
    good_windows: float  # share of the windows with granted requests that kept their promise
    attainment: float
    dead: list[tuple[float, float]]  # windows that broke it, as (from, until) in seconds


@dataclass(frozen=True, repr=False)
class Verdict:
    """The figures of one run; counts are of the simulated slice, dollars of the whole service."""

    run: Run
    life: Life
    pools: list[PoolVerdict]
    counts: dict[str, float]
    refused: pd.DataFrame
    latency: pd.DataFrame
    goodput: float  # images per second in time, at the spec asked for
    gpu_hours: pd.DataFrame
    dollars: float
    dollars_per_image: float  # in time; inf where there is none
    money: Money | None  # where the scenario has prices
    energy: dict[str, float]
    signups: dict[str, int]
    churned: int  # people who were let in and have left for good
    stays: list[Stay]

    @cached_property
    def latency_by_tier(self) -> pd.DataFrame:
        """The latency quantiles of each tier: a report shows them twice."""
        return latencies(self.run, "tier")

    @property
    def overloaded_at_horizon(self) -> bool:
        """Whether the run ends in saturation: then its averages depend on where it was cut."""
        return any(pool.saturated_at_horizon for pool in self.pools)

    def full(self, count: float) -> float:
        """A count of the slice at full scale."""
        return count / self.run.scale

    def latency_of_all(self, quantile: str) -> float:
        """A quantile (p50, p95 or p99) of the latency of all requests, seconds; inf where those beyond got no image."""
        return float(self.latency[quantile].to_dict()["all intents", "latency", "all"])

    def __repr__(self) -> str:
        return f"<Verdict: {sentences(self)[0]}>"

    def _repr_html_(self) -> str:
        """The sentences, as a notebook shows them."""
        return "".join(f"<p>{escape(line)}</p>" for line in sentences(self))


def verdict(run: Run, unlimited: Run | None = None) -> Verdict:
    """Judge a run over its whole window (warm-up to horizon).

    unlimited: a run of the same scenario and seed with simulate(..., unlimited=True), which measures the offered load.
    """
    refuse_other(Run, run, "what sim.simulate(scenario) or sim.load_run(folder) gives")
    run = run if unlimited is None else with_offered_load(run, unlimited)
    begin, end = span = window_of(run, None)
    whole = run_in_bins(run)
    wishes = intents(run) if run.has_rows else None
    images = counted(whole, span).counts[0].sum(axis=(0, 1))
    people, cost, in_time = recorded(whole).people, dollars(whole), images_in_time(whole)
    return Verdict(
        run=run,
        life=life(whole),
        pools=pool_verdicts(whole),
        counts=outcomes(whole).to_dict("records")[0],  # type: ignore[arg-type]
        refused=refused_by(whole),
        latency=latencies(whole, wishes=wishes),
        goodput=float(images[IMAGES] / (end - begin)),
        gpu_hours=gpu_hours(whole),
        dollars=cost,
        dollars_per_image=per_image(cost * run.scale, in_time["as_asked"] + in_time["degraded"]),
        money=money_of(whole, wishes),
        energy=energy(whole),
        signups=signups(whole),
        churned=people["churned"],
        stays=stays(whole),
    )


def per_image(dollars: float, images: float) -> float:
    return dollars / images if images else math.inf


def run_in_bins(run: Run) -> Run:
    """The run with a timeline of just the bins that a verdict's windows are made of, from its rows where need be."""
    begin = window_of(run, None)[0]
    widths = (run.manifest["alive"]["window"], 3600.0, default_bin(run))
    edges = np.unique(np.concatenate([bins(run, width, begin) for width in widths]))
    edges = edges[np.append(True, np.diff(edges) > 1e-9 * run.horizon)]
    if run.timeline is not None and (not run.has_rows or run.timeline.meets(edges)):
        return replace(run, timeline=run.timeline.between(edges))  # added up once, not for each figure
    return replace(run, timeline=timeline_of(run, edges))


def life(run: Run) -> Life:
    """Apply the scenario's definition of alive (see sim.scenario.scenario.Alive)."""
    rule, edges = run.manifest["alive"], windows_of_life(run)
    total, good = counted(run, edges).counts[..., [JUDGED, KEPT]].sum(axis=(1, 2)).T
    used = total > 0
    fine = good[used] / total[used] >= rule["kept"]
    share = float(fine.mean()) if used.any() else math.nan
    reached = float(outcomes(run)["attainment"].iloc[0])
    starts, ends = edges[:-1][used][~fine], edges[1:][used][~fine]
    dead = share < rule["windows"] or reached < rule["attainment"]  # nan: no request was granted, or none was made
    return Life(not dead, share, reached, list(zip(starts.tolist(), ends.tolist(), strict=True)))


def windows_of_life(run: Run) -> Floats:
    """The edges of the windows of `alive`: as many as fit best between the warm-up and the horizon, all as long."""
    return bins(run, run.manifest["alive"]["window"], begin=window_of(run, None)[0])


def signups(run: Run) -> dict[str, int]:
    """People who came to sign up: in all, let in, gave up on the waitlist (lost), still on it; invited by images."""
    p = recorded(run).people
    waiting = p["came"] - p["let_in"] - p["lost"]
    return {**{name: p[name] for name in ("came", "let_in", "lost", "invited")}, "waiting": waiting}


def sentences(v: Verdict) -> list[str]:
    """The verdict in plain sentences, counts at full scale."""
    c, s = {name: amount(v.full(count)) for name, count in v.counts.items()}, v.signups
    return [
        headline(v),
        *[pool_sentence(v.run, pool, alive=v.life.alive, counts=v.counts) for pool in v.pools],
        f"{c['intents']} requests{kinds(v)}: {c['served']} served ({c['degraded']} of them degraded), "
        f"{c['lost']} lost, {c['unfinished']} unfinished. They took {c['attempts']} attempts, of which "
        f"{c['refused']} were refused, {c['abandoned']} were abandoned and {c['retried']} were retries.",
        latency_sentence(v.latency),
        cost_sentence(v),
        *([] if v.money is None else money_sentences(v.run, v.money)),
        f"{amount(v.full(s['came']))} signups{invited(v)}{in_all(v)}: "
        f"{amount(v.full(s['lost']))} gave up on the waitlist, {amount(v.full(s['waiting']))} are still on it; "
        f"{amount(v.full(v.churned))} people left for good.",
        *warnings(v),
    ]


def in_all(v: Verdict) -> str:
    """That people are counted from the start, while requests and costs are from the end of the warm-up."""
    return " since the start, warm-up included" if v.run.manifest["warm_up"] > 0 else ""


def kinds(v: Verdict) -> str:
    """The features' shares of all requests and how many of each are in time, where there are several."""
    by = outcomes(v.run, "feature").sort_values("intents", ascending=False)
    asked = by[by["intents"] > 0]
    if len(asked) < 2:
        return ""
    shares = zip(asked.index, asked["intents"] / asked["intents"].sum(), asked["attainment"], strict=True)
    in_time = [
        f"{percent(part)} {name}, {'none decided' if math.isnan(kept) else f'{percent(kept)} in time'}"
        for name, part, kept in shares
    ]
    return f" ({'; '.join(in_time)})"


def headline(v: Verdict) -> str:
    """Whether the service is alive, in one sentence; a run in which no request was decided does not say."""
    name = v.run.manifest["playbook"]
    if v.counts["intents"] == 0:
        return f"NOBODY CAME under playbook '{name}': nothing was requested, so the run says nothing about the service."
    if math.isnan(v.life.attainment):
        return (
            f"NOTHING WAS DECIDED under playbook '{name}': every request is still inside when the run ends after "
            f"{duration(v.run.horizon)}, so it says nothing about the service; give it a longer horizon."
        )
    windows = "no request was granted that could break a promise"
    if not math.isnan(v.life.good_windows):
        edges = windows_of_life(v.run)
        length = duration(float(edges[-1] - edges[0]) / (len(edges) - 1))
        windows = f"{percent(v.life.good_windows)} of the {length} windows kept their promise"
        if len(edges) == 2:
            windows = f"its one window, of {length}, {'kept' if v.life.good_windows == 1 else 'broke'} its promise"
    alive = "ALIVE" if v.life.alive else "NOT ALIVE"
    reached = f"{percent(v.life.attainment)} of all requests were served in time"
    return f"{alive} under playbook '{name}': {windows}, and {reached}."


SHOWN = ("useful", "wasted", "loading", "lost", "idle")  # GPU-hours in service; the absent have their own words
SELDOM = ("loading", "lost")  # named where there are any


def cost_sentence(v: Verdict) -> str:
    hours = v.gpu_hours.sum()
    total = amount(v.full(hours["total"]))
    shares = ", ".join(
        f"{percent(hours[use] / max(hours['total'], 1e-300))} {use}" for use in SHOWN if use not in SELDOM or hours[use]
    )
    absent = "".join(f", {amount(v.full(hours[n]))} {n.replace('_', ' ')}" for n in ABSENT if hours[n] > 0)
    due = f" and {amount(v.full(hours['paid']))} paid{absent}" if absent else ""
    price = each(v.dollars_per_image, image_or_chat(v.run))
    spent = f"{total} GPU-hour{'' if total == '1' else 's'} in service ({shares}){due}, ${amount(v.dollars)} ({price})"
    if math.isnan(v.energy["kwh"]):
        return f"{spent}. {NOT_KNOWN}"
    return (
        f"{spent}, {amount(v.full(v.energy['kwh']) / 1000)} MWh at the meter, "
        f"{amount(v.full(v.energy['kg_co2e']) / 1000)} t CO2e, {amount(v.full(v.energy['litres_on_site']) / 1000)} m³ "
        f"of water on site and {amount(v.full(v.energy['litres_of_grid']) / 1000)} m³ at power plants."
    )


def loading_warnings(v: Verdict) -> list[str]:
    """A warning for each pool whose model loads are what breaks the promise."""
    return [
        f"MODEL LOADS: {percent(pool.loading)} of the GPU time used in pool '{pool.name}' were model loads, while the "
        f"images of first requests need {percent(pool.load_while_hot)} of its GPUs."
        for pool in v.pools
        if pool.broken_by_loading
    ]


def absent_warnings(v: Verdict) -> list[str]:
    """A warning for each saturated pool that missed much of its GPU-hours: failed, moving, switched off, ordered."""
    found = []
    for pool in v.pools:
        hours = v.gpu_hours.loc[pool.name].to_dict()
        shares = {state: hours[state] / (hours["total"] + hours[state]) for state in ABSENT if hours[state] > 0}
        found += [
            f"GPUS {state.replace('_', ' ').upper()}: {percent(share)} of the GPU-hours that pool '{pool.name}' would "
            "otherwise have had in service."
            for state, share in shares.items()
            if share >= MUCH and pool.saturated
        ]
    return found


def invited(v: Verdict) -> str:
    """How many of the signups were brought by images, where images bring any."""
    if v.run.manifest["word_of_mouth"] is None:
        return ""
    count, people = v.signups["invited"], recorded(v.run).people["everybody"]
    return f" ({amount(v.full(count))} of them brought by images, {count / max(people, 1):.2f} per person)"


def warnings(v: Verdict) -> list[str]:
    """Warnings to read before relying on the figures."""
    found, m = [], v.run.manifest
    found += outside_the_run(m)
    if v.overloaded_at_horizon:
        hot = ", ".join(pool.name for pool in v.pools if pool.saturated_at_horizon)
        found.append(
            f"OVERLOADED AT THE HORIZON: {hot} is still saturated when the run ends; waits and totals "
            "depend on where it was cut off."
        )
    found += [stay_warning(v.run, stay) for stay in v.stays]
    found += waitlist_warnings(v)
    found += [] if v.life.alive else [*loading_warnings(v), *absent_warnings(v)]
    word = m["word_of_mouth"]
    if word is not None and word["factor"] >= 1:
        found.append(
            f"WORD OF MOUTH ABOVE 1: each person would bring {word['factor']:.2f} more, so growth ends only when the "
            f"market of {amount(word['market'])} people is exhausted; totals depend on that assumption."
        )
    if m["extrapolated"]:
        found.append(f"EXTRAPOLATED: service times of {', '.join(m['extrapolated'])} lie outside what was measured.")
    if not v.run.has_rows:
        found.append(
            f"FROM THE TIMELINE: counts are exact; quantiles of waits are within {100 * ERROR:.1f} % of their value."
        )
    return found + slice_sentences(m) + warm_up_sentences(v.run)


def waitlist_warnings(v: Verdict) -> list[str]:
    """A warning where a waitlist lets in more people at a control tick than GPUs can serve at once."""
    decisions, document = v.run.decisions, v.run.manifest["scenario"]
    rates = decisions.loc[decisions["knob"] == SIGNUP_RATE.name, "new"]
    stated = document.get("control_tick", ScenarioFields.model_fields["control_tick"].default)
    tick = seconds(stated) if isinstance(stated, str) else float(stated)
    at_once = max((rate * tick for rate in rates if math.isfinite(rate)), default=0.0)
    room = sum(
        pool["gpus"] // pool.get("gpus_per_replica", 1) * pool["max_batch"] for pool in v.run.manifest["pools"].values()
    )
    if at_once <= room:
        return []
    return [
        f"WAITLIST IN LOTS: it lets in up to {amount(v.full(at_once))} people together, at each control tick "
        f"({duration(tick)}), and GPUs serve {amount(v.full(room))} at once: part of the wait is of that. With a "
        "shorter control_tick people come more evenly."
    ]


def outside_the_run(manifest: dict[str, Any]) -> list[str]:
    """The steps and sources of demand whose dates lie outside the run, so that they do nothing in it."""
    start, document = datetime.fromisoformat(manifest["start"]), manifest["scenario"]
    demand, playbook = document.get("demand", {}), manifest["playbook"]
    dated = {"always": document.get("always", []), f"playbooks.{playbook}": document.get("playbooks", {}).get(playbook)}
    if isinstance(demand, dict):
        dated |= {f"demand.{kind}": demand.get(kind) for kind in ("waves", "clients", "traces")}
    found = []
    for key, parts in dated.items():
        for number, part in enumerate(parts or []):
            begins, ends = (seconds_after(start, instant(part.get(n, d))) for n, d in (("from", 0), ("until", "never")))
            if begins >= manifest["horizon"] or ends <= 0:
                found.append(f"NEVER IN FORCE: {key}.{number} is dated outside the run, and does nothing in it.")
    return found


def slice_sentences(manifest: dict[str, Any]) -> list[str]:
    """What was simulated, where that is a slice: its scale, its GPUs, and whether they are few."""
    if manifest["scale"] >= 1:
        return []
    scale, pools = as_ratio(manifest["scale"]), manifest["pools"].items()
    sizes = [(name, amount(pool["gpus"]), in_gpus(amount(pool["gpus_in_full"]))) for name, pool in pools]
    gpus = ", ".join(f"{few} of the {all_} of '{name}'" for name, few, all_ in sizes)
    found = [f"A slice of {scale} of people and GPUs was simulated: {gpus}; counts are scaled up."]
    few = {}
    for name, pool in pools:
        each = pool["gpus_per_replica"]
        if pool["gpus"] < min(FEW_GPUS * each, pool["gpus_in_full"]):
            few[name] = {"gpus": pool["gpus"] // each, "gpus_in_full": pool["gpus_in_full"] // each, "each": each}
    if few:
        has = ", ".join(f"'{name}' with {amount(pool['gpus'])}" for name, pool in few.items())
        least = max(FEW_GPUS / pool["gpus_in_full"] for pool in few.values())
        what = "GPUs" if all(pool["each"] == 1 for pool in few.values()) else "replicas"
        found.append(
            f"FEW GPUS: the slice has pools of fewer than {FEW_GPUS} {what} ({has}), which queue more than the whole "
            f"service would: its figures, and the order of playbooks, can differ. "
            f"{'Simulate all of it' if least >= 1 else f'A scale of {as_ratio(least)} or more has {FEW_GPUS}'}."
        )
    return found
