"""How each person of a scenario behaves: by the source that brings them and by their tier."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.demand.behaviour import Activity, Behaviour, PowerLaw, Retry
from sim.demand.laws import FixedCount, Never
from sim.demand.waves.callers import Callers
from sim.demand.waves.standing import Standing
from sim.demand.waves.wave import Wave
from sim.model.standing import IN_SERVICE, QUEUED
from sim.scenario.parts import Tier
from sim.scenario.people import ANY
from sim.scenario.scenario import Scenario

ENDLESS = 2**31 - 1  # requests of one caller; a run has fewer


@dataclass(frozen=True)
class Habit:
    """One kind of behaviour. Programs share nothing, ask for one `feature` (ANY: drawn), and pause after failures.

    standing, first: of people who are in the service as the run begins, what they do there and the feature they wait
    for.
    """

    behaviour: Behaviour
    program: bool = False
    feature: int = ANY
    pause: float = 0.0  # seconds
    standing: int = 0
    first: int = ANY


@dataclass(frozen=True)
class Habits:
    """All kinds, and the number of each person's by source and tier; the last row is of people whom images bring."""

    kinds: list[Habit]
    by_source: NDArray[np.int64]


def habits_of(scenario: Scenario) -> Habits:
    """The habits of a scenario: everybody's, those of tiers with their own, those of callers."""
    kinds = [Habit(scenario.behaviour)]
    by_tier = []
    for tier in scenario.tiers.values():
        habit = Habit(of_tier(scenario.behaviour, tier))
        if habit not in kinds:
            kinds.append(habit)
        by_tier.append(kinds.index(habit))
    waves, features = scenario.demand.waves, list(scenario.features)
    table = np.tile(np.array(by_tier), (len(scenario.demand.names()) + 1, 1))
    for number, wave in enumerate(waves):
        if isinstance(wave, Callers):
            table[number] = len(kinds)
            feature = features.index(wave.feature) if wave.feature else ANY
            kinds.append(Habit(of_callers(wave), program=True, feature=feature, pause=wave.pause))
        elif isinstance(wave, Standing):
            there, first = IN_SERVICE if wave.in_service else QUEUED, features.index(wave.feature)
            for place, kind in enumerate(by_tier):
                table[number, place] = len(kinds)
                kinds.append(replace(kinds[kind], standing=there, first=first))
    return Habits(kinds, table)


def by_share(scenario: Scenario) -> list[tuple[float, Behaviour]]:
    """The behaviour of each tier's people, with their share."""
    return [(tier.share, of_tier(scenario.behaviour, tier)) for tier in scenario.tiers.values()]


def asks_of_callers(scenario: Scenario, wave: Wave) -> float:
    """Requests of a wave of callers before the horizon, as far as GPUs allow, at full scale; 0 of any other wave."""
    if not isinstance(wave, Callers):
        return 0.0
    pace, least = 0.0, math.inf
    for name, feature in scenario.features.items():
        if wave.feature in ("", name):
            spec, tables = feature.rungs()[0], scenario.batch_tables(feature.pool)[feature.rungs()[0]]
            least = min(least, tables[spec.images])
            pace += scenario.pools[feature.pool].replicas * max(n / spec.images / s for n, s in tables.items())
    cycle = wave.think.law.mean + least
    seconds = max(scenario.horizon - scenario.seconds(wave.from_), 0.0)
    return seconds * min(wave.in_flight * wave.times / cycle, pace)


def of_tier(everybody: Behaviour, tier: Tier) -> Behaviour:
    """Everybody's behaviour with what a tier has of its own."""
    own = {name: value for name in ("patience", "returns") if (value := getattr(tier, name)) is not None}
    return everybody.model_copy(update=own) if own else everybody


def of_callers(wave: Callers) -> Behaviour:
    """Programs that wait for each answer, never try again, and never stop."""
    never = Never(kind="never")
    return Behaviour(
        requests=FixedCount.model_construct(kind="fixed", requests=ENDLESS),
        activity=Activity(),
        think=wave.think,
        patience=never,
        patience_notified=never,
        waitlist_patience=never,
        retry=Retry(at_most=0),
        churn=0.0,
        returns=PowerLaw(kind="power law", at_one_day=0.0),
    )
