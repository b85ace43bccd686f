"""Why no fleet is an answer: people are refused, the service is too slow, nobody is there, or it costs too much."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sim.policies.playbook import KINDS
from sim.scenario.scenario import Scenario
from sim.studies.looks import Seen
from sim.studies.promise import Promise
from sim.wording import amount, in_gpus, names_in_words, percent


def out_of_reach(runs: Sequence[Seen], promise: Promise) -> str:
    """Why even a fleet without limits breaks a promise, from its runs."""
    reached = float(np.mean([run.measure for run in runs]))
    if not any(run.judged for run in runs):
        return "no request is decided by the horizon, so there is nobody to keep it to"
    if math.isnan(reached):
        some = "" if all(math.isnan(run.measure) for run in runs) else "in some runs "
        return f"{some}nobody is there to keep it to"
    if kept := sum(run.margin >= 0 for run in runs):
        return f"even if nobody had to wait for a GPU, only {kept} of {len(runs)} runs would keep the promise"
    shares = pd.DataFrame([run.refused for run in runs]).fillna(0.0).mean().sort_values(ascending=False)
    falls_short = f"reach {percent(reached)} of the {percent(promise.target)} promised"
    if any(one.kind == "at most" for one in promise.conditions):
        falls_short = f"reach {percent(reached)} where at most {percent(promise.target)} is promised"
    missed = falls_short if promise.target else "break the promise"
    if len(shares) and shares.sum() > abs(reached - promise.target) / 2:
        why = f"{percent(shares.sum())} of attempts are refused ({', '.join(shares.index)}), whatever the fleet"
    else:
        why = "the service itself takes too long"
    return f"even if nobody had to wait for a GPU, a run would {missed}: {why}"


def none_found(promise: Promise, largest: Mapping[str, int], scalers: Sequence[str]) -> str:
    """Why no fleet was found, although one without limits serves people as promised.

    scalers: policies in force that set the GPUs in service themselves.
    """
    most = in_pools(largest)
    if promise.about_dollars:
        return f"no fleet looked at, up to {most}, serves people as promised for these dollars"
    found = f"not even {most} keep it, although a fleet without limits would"
    if scalers:
        named = names_in_words([f"'{name}'" for name in scalers])
        return (
            f"{found}: the playbook sets the GPUs in service itself ({named}), so that a larger fleet may stay unused"
        )
    return f"{found}: look at outages and other pools"


def scalers_of(scenario: Scenario, playbook: str) -> list[str]:
    """The kinds of policies in force under a playbook that set how many GPUs are in service."""
    kinds = [step.policy.kind for step in (*scenario.always, *scenario.playbooks.get(playbook, []))]
    return list(dict.fromkeys(kind for kind in kinds if KINDS[kind].advice.family == "supply"))


def over_the_cap(runs: Sequence[Seen], cap: float, share: float, fleet: Mapping[str, int]) -> str:
    """Why a fleet is no answer whose runs cost more than a cap in more of them than may; nothing if they do not."""
    cheap = sum(run.dollars <= cap for run in runs)
    if cheap >= share * len(runs) - 1e-9:
        return ""
    cost = f"${amount(float(np.mean([run.dollars for run in runs])))}, and ${amount(cap)} is promised"
    return f"the smallest fleet that does everything else, {in_pools(fleet)}, costs {cost}"


def in_pools(fleet: Mapping[str, int]) -> str:
    """A fleet in words: '4 GPUs in pool 'a' and 2 GPUs in pool 'b''."""
    return " and ".join(f"{in_gpus(amount(gpus))} in pool '{pool}'" for pool, gpus in fleet.items())
