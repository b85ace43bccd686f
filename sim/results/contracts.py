"""What the GPUs cost, by pool and kind of contract, and the break-evens between reserved, on-demand and spot GPUs.

All amounts are of the whole service, although a slice of it was simulated.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sim.policies.base import ABSENT
from sim.results.intents import Floats, Window, window_of
from sim.results.metrics import capacity, features_of, in_state, paid, pool_timeline
from sim.results.run import Run
from sim.scenario.serving_options import BATCHES
from sim.wording import duration, in_gpus

HOUR = 3600.0
KINDS = ("reserved", "spot", "on demand")


@dataclass(frozen=True)
class Contracts:
    """The contracts for one pool's GPUs, of the whole service: numbers of GPUs, and dollars an hour for each kind."""

    reserved: float
    spot: float
    prices: dict[str, float]  # by kind
    interruptions_per_hour: float  # of a spot GPU


def contracts_of(facts: dict[str, Any]) -> Contracts:
    """The contracts that a run's manifest states for a pool, or for one kind of its GPUs; all on demand for none."""
    on_demand = float(facts["dollars_per_gpu_hour"])
    numbers, prices = {}, {"on demand": on_demand}
    for kind in ("reserved", "spot"):
        stated = facts[kind]
        price = stated["dollars_per_gpu_hour"]
        prices[kind] = on_demand * (1 - stated["discount"]) if price is None else float(price)
        numbers[kind] = float(stated["gpus"])
    return Contracts(numbers["reserved"], numbers["spot"], prices, float(facts["spot"]["interruptions_per_hour"]))


def bill(run: Run, window: Window = None) -> pd.DataFrame:
    """GPU-hours paid and dollars, one row per pool and kind of contract that was used, for the whole service.

    Reserved GPUs are paid for all the time, even where fewer are in service. Of the others that are paid, spot GPUs
    come first, apart from those that their vendor has taken back; the rest is on demand. Each of several kinds of GPU
    in a pool has contracts of its own.
    """
    rows = []
    for pool, facts in run.manifest["pools"].items():
        edges = changes_of(run, pool, window_of(run, window))
        hours = np.diff(edges) / HOUR
        back = taken_back(run, pool, edges)
        for of, some in by_kind(facts, gpus_paid(run, pool, edges)):
            terms = contracts_of(of)
            beyond = np.maximum(some - terms.reserved, 0.0)
            spot = np.maximum(terms.spot - np.minimum(back, np.maximum(of["gpus_in_full"] - some, 0.0)), 0.0)
            used = {
                "reserved": terms.reserved * hours.sum(),
                "spot": float(np.minimum(beyond, spot) @ hours),
                "on demand": float(np.maximum(beyond - spot, 0.0) @ hours),
            }
            said = f", {of['kind']}" if "kind" in of else ""
            rows += [(pool, kind + said, used[kind], terms.prices[kind]) for kind in KINDS if used[kind] > 0]
    table = pd.DataFrame(rows, columns=["pool", "contract", "gpu_hours", "dollars_per_gpu_hour"])
    return table.assign(dollars=table["gpu_hours"] * table["dollars_per_gpu_hour"])


def by_kind(facts: dict[str, Any], gpus: Floats) -> list[tuple[dict[str, Any], Floats]]:
    """The facts of each kind of GPU in a pool, with how many of the GPUs are of it; of a pool of one kind, its own.

    The kind that is taken first is there before the others, and GPUs beyond the scenario's are of the last.
    """
    kinds = facts["kinds"] or [facts]
    found, before = [], 0.0
    for kind in kinds:
        most = math.inf if kind is kinds[-1] else kind["gpus_in_full"]
        found.append((kind, np.clip(gpus - before, 0.0, most)))
        before += kind["gpus_in_full"]
    return found


def changes_of(run: Run, pool: str, span: tuple[float, float]) -> Floats:
    """The instants in a span at which a pool's fleet changes, and its two ends."""
    times = run.fleet.loc[run.fleet["pool"] == pool, "time"].to_numpy(float)
    return np.unique(np.concatenate([span, times[(times > span[0]) & (times < span[1])]]))


def gpus_paid(run: Run, pool: str, edges: Floats) -> Floats:
    """GPUs of the whole service that are paid in a pool between its changes.

    These are the GPUs in service, and the absent ones that the pool's `pays` names.
    """
    return paid(run, pool, edges) / np.diff(edges) / run.scale


def taken_back(run: Run, pool: str, edges: Floats) -> Floats:
    """GPUs of the whole service that the policy `spot` has taken back: the pool's own that are nowhere else."""
    if spot_rate_in_force(run, pool) is None:
        return np.zeros(len(edges) - 1)
    somewhere = capacity(run, pool, edges) + sum(in_state(run, pool, state, edges) for state in ABSENT)
    own = run.manifest["pools"][pool]["gpus_in_full"]
    return np.maximum(own - somewhere / np.diff(edges) / run.scale, 0.0)


def busy_gpus(run: Run, pool: str) -> Floats:
    """Busy GPUs of the whole service, mean of each hour."""
    hours = pool_timeline(run, pool, HOUR, begin=window_of(run, None)[0])
    return (hours["utilisation"] * hours["gpus"]).to_numpy(float) / run.scale


def break_even_utilisation(reserved: float, on_demand: float) -> float:
    """The share of hours that a reserved GPU must be used to be cheaper than one on demand: the ratio of the prices."""
    return reserved / on_demand if on_demand > 0 else math.nan


def commitment(demand: ArrayLike, reserved: float, on_demand: float) -> float:
    """How many GPUs to reserve for this demand, GPUs in equally long hours, at these prices an hour.

    The k-th GPU pays while it is used in more than reserved/on_demand of the hours, so the smallest best number is the
    1 - reserved/on_demand quantile of demand (the newsvendor's, on a load-duration curve).
    """
    ordered = np.sort(np.asarray(demand, dtype=float))
    if reserved >= on_demand:
        return 0.0
    above = len(ordered) - np.searchsorted(ordered, ordered, side="right")  # hours that need more than each number
    return float(ordered[np.flatnonzero(above <= len(ordered) * reserved / on_demand + 1e-9)[0]])


def gpu_time_with_restarts(interruptions: float, job: float) -> float:
    """Expected GPU time per finished job of this length that starts again from zero: (e^(hs) - 1)/h.

    interruptions: a Poisson rate h per unit of time; job: s, in that unit.
    """
    return math.expm1(interruptions * job) / interruptions if interruptions > 0 else job


def spot_break_even(interruptions: float, job: float) -> float:
    """The discount above which spot is cheaper than on demand: 1 - hs/(e^(hs) - 1), with units as above."""
    return 1 - job / gpu_time_with_restarts(interruptions, job)


def spot_rate_in_force(run: Run, pool: str) -> float | None:
    """How often per hour the policy `spot` takes a GPU of a pool back, where a step of the run has it."""
    policies = [step["policy"] for step in run.steps or []]
    rates = [one["rate"] for one in policies if one["kind"] == "spot" and one["pool"] == pool]
    return float(rates[0]) if rates else None


def longest_batch(run: Run, pool: str) -> float:
    """Seconds of the longest full batch of a pool, as asked for; nan where it serves no feature."""
    features = list(run.manifest["features"].values())
    return max((float(features[f]["seconds"]) for f in features_of(run, pool)), default=math.nan)


def contract_sentences(run: Run) -> list[str]:
    """For each pool: how many GPUs its own load would pay to reserve, and what spot interruptions cost."""
    said = []
    for pool, facts in run.manifest["pools"].items():
        if facts["kinds"]:
            continue  # a run does not say how busy each kind is
        terms = contracts_of(facts)
        reserved, spot, full = (terms.prices[kind] for kind in KINDS)
        if not 0 < reserved < full:
            continue
        busy = busy_gpus(run, pool)
        best = round(commitment(busy, reserved, full))
        sentence = (
            f"Pool '{pool}': a reserved GPU at ${reserved:.3g} an hour is cheaper than one on demand at ${full:.3g} "
            f"where it is busy in more than {100 * break_even_utilisation(reserved, full):.0f} % of hours. In this run "
            f"{in_gpus(best)} {'is' if best == 1 else 'are'}; a contract pays for them only if its whole term "
            f"looks like the {duration(run.horizon - run.manifest['warm_up'])} of this run."
        )
        if facts["runs"] != BATCHES:
            sentence += (
                f" A GPU is as busy with one request as with {facts['max_batch']} at once, so fewer may do: 'meltpoint "
                "size' finds how many."
            )
        seconds, rate = longest_batch(run, pool), spot_rate_in_force(run, pool)
        often = terms.interruptions_per_hour if rate is None else rate
        if math.isfinite(seconds) and spot < full:
            sentence += (
                f" Spot at ${spot:.3g} ({100 * (1 - spot / full):.0f} % off) must be at least "
                f"{100 * spot_break_even(often, seconds / HOUR):.2g} % off to pay for restarts, with {often:g} "
                f"interruptions an hour{'' if rate is None else ' by the policy in force'} and batches of up to "
                f"{seconds:.0f} s."
            )
            if rate is None:
                sentence += (
                    " To lose all spot GPUs at once in a surge costs more: simulate that with the policy 'spot'."
                )
        said.append(sentence)
    return said
