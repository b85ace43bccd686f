"""The people of a run: who arrives when, of which tier and region, and what they were scripted to ask."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.demand.scripts import ANY, Clients, Script
from sim.demand.season import regions_of
from sim.demand.waves.callers import Callers
from sim.demand.waves.signups import wave_instants
from sim.demand.waves.standing import Standing
from sim.model.choices import signup_instants
from sim.model.narrow import narrow
from sim.model.streams import REGION, SOURCE_SHIFT, TIER, draws
from sim.scenario.scenario import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class People:
    """Arrays over people, in order of arrival.

    `key` names a person in random draws: it holds the source and the person's number in it, so that a change to one
    source leaves the people of the others as they are. No policy can change any of this.
    """

    arrives: Floats  # seconds; of scripted people their first ask
    key: Ints
    source: NDArray[np.int16]
    tier: NDArray[np.int8]
    region: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.arrives)


@dataclass(frozen=True)
class Asks:
    """Scripted asks of all sources, in order of time: whose, for what, how many images (ANY is drawn)."""

    instants: Floats
    user: Ints  # rows of People
    feature: Ints
    images: Ints


@lru_cache(maxsize=1)  # a study runs one playbook after the other with the same people
def people_of(scenario: Scenario, seed: int) -> tuple[People, Asks]:
    """Everybody who arrives before the horizon, for one seed, and the asks that are known beforehand."""
    crowds = [wave_people(scenario, number, seed) for number in range(len(scenario.demand.waves))]
    scripts = [(number, script_of(scenario, number, seed)) for number in scripted(scenario)]
    crowds += [script_people(scenario, number, script, seed) for number, script in scripts]
    one = len(crowds) == 1
    together = crowds[0] if one else {n: np.concatenate([crowd[n] for crowd in crowds]) for n in crowds[0]}
    if not (together["arrives"][1:] >= together["arrives"][:-1]).all():
        order = np.argsort(together["arrives"], kind="stable")  # ties go by key, since crowds and their keys ascend
        together = {name: values[order] for name, values in together.items()}
    people = People(**together)
    return people, asks_of(scenario, people, scripts)


def scripted(scenario: Scenario) -> range:
    """The numbers of the sources that are scripts: they come after the waves."""
    demand = scenario.demand
    return range(len(demand.waves), len(demand.waves) + len(demand.scripted))


def wave_people(scenario: Scenario, number: int, seed: int) -> dict[str, NDArray]:
    """The people of one wave as columns of People; those of a tier that opens later sign up then, or never."""
    demand, wave = scenario.demand, scenario.demand.waves[number]
    programs = isinstance(wave, Callers | Standing)  # which keep no hours and wait for no opening
    arrives = wave_instants(
        wave,
        number,
        begins=scenario.seconds(wave.from_),
        horizon=scenario.horizon,
        scale=scenario.scale,
        seed=seed,
        pulse=None if programs else scenario.pulse(seed),
    )
    key = (np.int64(number) << SOURCE_SHIFT) + np.arange(len(arrives), dtype=np.int64)
    tier = tiers_of(scenario, key, wave.tiers, seed)
    if demand.openings and not programs:
        arrives = signup_instants(arrives, tier, np.array(scenario.openings()), seed, key)
        inside = arrives < scenario.horizon
        arrives, key, tier = arrives[inside], key[inside], tier[inside]
    region = np.zeros(len(key), dtype=np.int64)
    if demand.regions:
        lots = draws(seed, REGION, key, 0)
        region = regions_of(demand.season, demand.regions, scenario.start, arrives, lots)
    return columns(arrives, key, number, tier, region)


def script_of(scenario: Scenario, number: int, seed: int) -> Script:
    """The asks of one scripted source."""
    demand = scenario.demand
    source = demand.scripted[number - len(demand.waves)]
    begins, horizon, scale = scenario.seconds(source.from_), scenario.horizon, scenario.scale
    if isinstance(source, Clients):
        return source.script(number, begins=begins, horizon=horizon, scale=scale, seed=seed)
    trace = scenario.traces[source.file]
    return source.script(trace, number, begins=begins, horizon=horizon, scale=scale, seed=seed)


def script_people(scenario: Scenario, number: int, script: Script, seed: int) -> dict[str, NDArray]:
    """The people behind a script as columns of People: each arrives with a first ask."""
    demand = scenario.demand
    source = demand.scripted[number - len(demand.waves)]
    person, first = np.unique(script.person, return_index=True)
    key = (np.int64(number) << SOURCE_SHIFT) + person
    tier = tiers_of(scenario, key, [source.tier] if source.tier else [], seed)
    shares = np.cumsum([region.share for region in demand.regions.values()])
    region = np.searchsorted(shares[:-1], draws(seed, REGION, key, 0), side="right")
    return columns(script.instants[first], key, number, tier, region)


def columns(arrives: Floats, key: Ints, source: int, tier: Ints, region: Ints) -> dict[str, NDArray]:
    return {
        "arrives": arrives,
        "key": key,
        "source": narrow(np.full(len(arrives), source), np.int16),
        "tier": narrow(tier, np.int8),
        "region": narrow(region, np.int8),
    }


def ages_of(scenario: Scenario) -> Floats:
    """The age of an account on arrival, seconds, by source."""
    demand = scenario.demand
    return np.array([source.account_age for source in [*demand.waves, *demand.scripted]], dtype=float)


def newcomers_of(scenario: Scenario) -> NDArray[np.bool_]:
    """Whether the people of a source are new here, by source."""
    newcomers = [wave.newcomers for wave in scenario.demand.waves]
    return np.array([*newcomers, *[False for _ in scripted(scenario)]], dtype=bool)


def tiers_of(scenario: Scenario, key: Ints, only: list[str], seed: int) -> Ints:
    """Tiers by their shares, of all of them or of some."""
    shares = np.array([tier.share if name in only or not only else 0.0 for name, tier in scenario.tiers.items()])
    bounds = np.cumsum(shares) / (shares.sum() if only else 1.0)
    if len(bounds) == 1:
        return np.zeros(len(key), dtype=np.int64)
    return np.searchsorted(bounds[:-1], draws(seed, TIER, key, 0), side="right")


def asks_of(scenario: Scenario, people: People, scripts: list[tuple[int, Script]]) -> Asks:
    """All scripts together in order of time, people as rows of the table, features as the scenario numbers them."""
    if not scripts:
        nothing = np.empty(0, dtype=np.int64)
        return Asks(np.empty(0), nothing, nothing, nothing)
    known = np.argsort(people.key)
    parts = []
    for number, script in scripts:
        key = (np.int64(number) << SOURCE_SHIFT) + script.person
        user = known[np.searchsorted(people.key, key, sorter=known)]
        feature = scenario.features_of(scenario.demand.scripted[number - len(scenario.demand.waves)])[script.kind]
        parts.append((script.instants, user, feature, script.images))
    instants, user, feature, images = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((user, instants))
    return Asks(instants[order], user[order], feature[order], images[order])


__all__ = ["ANY", "Asks", "People", "people_of"]
