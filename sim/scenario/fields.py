"""The keys that a scenario file may have, and what follows from them; sim.scenario.checks has the checks."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sim.demand.behaviour import Behaviour
from sim.demand.season import Pulse, pulse_of
from sim.demand.sources import Demand, seconds_after
from sim.model.chance import LOGNORMAL_NOISE, noise
from sim.model.request import Spec
from sim.model.streams import SPEED
from sim.policies.playbook import Step
from sim.scenario.parts import Alive, Feature, Footprint, Pool, Recording, Sample, Serving, Tier
from sim.scenario.prices import Plan
from sim.scenario.serving_options import CENTRAL, STEPS
from sim.schema import Strict
from sim.units import Instant, Moment, Scale, Seconds, Whole

NO_FACTORS = np.empty(0)
UNLIMITED = "unlimited fleet"  # the run against which the growth lost to a playbook is measured
LONGEST = 10 * 365 * 86400.0  # seconds
MOST_NAMES = 100  # tiers, features, pools: engines keep their numbers in a byte


class ScenarioFields(Strict):
    """Everything a scenario file may say; the field descriptions become the JSON Schema."""

    title: str = Field(min_length=1, description="the heading of reports")
    question: str = Field(default="", description="what the scenario is to answer, in one sentence")
    start: Moment = Field(default=datetime(2025, 1, 1, tzinfo=UTC), description="time 0 of the simulation")
    horizon: Annotated[Seconds, Field(allow_inf_nan=False, ge=1, le=LONGEST)] = Field(
        description="how long is simulated; requests that are still inside at the end are unfinished"
    )
    scale: Scale = Field(default=1.0, description="the slice of people and GPUs that is simulated")
    cells: Annotated[Whole, Field(ge=1, le=100_000)] = Field(
        default=1,
        description="independent parts of the service: each has an equal share of people and GPUs, a queue of its own",
    )
    record: Literal["rows", "timeline"] | Sample = Field(
        default="rows",
        description="what a run writes down besides its timeline: every row, those of a share of users, or nothing",
    )
    control_tick: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = Field(
        default=60.0, description="how often policies see telemetry and act"
    )
    warm_up: Seconds = Field(default=0.0, description="left out of metrics at the start")
    profiles: dict[str, str] = Field(default={}, description="profile files by name, relative to this file")
    extrapolate: bool = Field(default=False, description="allow service times outside a profile's measured grid")
    tiers: dict[str, Tier] = Field(min_length=1, max_length=MOST_NAMES, description="classes of users, by name")
    features: dict[str, Feature] = Field(
        min_length=1, max_length=MOST_NAMES, description="what users ask for, by name: each is served by one pool"
    )
    pools: dict[str, Pool] = Field(min_length=1, max_length=MOST_NAMES, description="GPUs that share a queue, by name")
    demand: Demand = Field(description="who comes and when: waves of people, API clients, recordings")
    behaviour: Behaviour = Field(default_factory=Behaviour, description="how people ask, wait, leave, retry and return")
    serving: Serving = Field(default_factory=Serving, description="how the service treats its queue and its users")
    footprint: Footprint = Field(default=Footprint(), description="energy, carbon and water of the servers")
    plan: Plan | None = Field(default=None, description="the company's plan, to compare the revenue with")
    alive: Alive = Field(default=Alive(), description="when this scenario calls the service alive")
    promises: list[str] = Field(
        default=[],
        max_length=100,
        description="what 'meltpoint check' holds runs to, like 'alive', 'p95 of pro <= 30 s', 'cost <= $20,000'",
    )
    always: list[Step] = Field(default=[], description="policies in force under every playbook")
    playbooks: dict[str, list[Step]] = Field(
        default={"none": []}, min_length=1, max_length=1000, description="lists of steps to compare, by name"
    )
    overrides: dict[str, dict[str, Any]] = Field(default={}, description="named changes: nested keys with new values")

    @property
    def counts_tokens(self) -> bool:
        """Whether some pool runs steps: then a run knows first tokens and times per token."""
        return any(pool.runs == STEPS for pool in self.pools.values())

    @property
    def has_prices(self) -> bool:
        """Whether some tier pays."""
        return any(tier.price.dollars for tier in self.tiers.values())

    def shares_of_features(self, region: str) -> list[float]:
        """Of the asks of this region's people."""
        shares = [f.share if f.region in ("", region) else 0.0 for f in self.features.values()]
        total = sum(shares)
        if all(f.region in ("", region) for f in self.features.values()):
            return shares  # as they are written, to the last bit
        return [share / total for share in shares]

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Every step with its key: those always in force, then each playbook's."""
        for name, steps in {"always": self.always, **self.playbooks}.items():
            for number, step in enumerate(steps):
                yield f"{'' if name == 'always' else 'playbooks.'}{name}.{number}", step

    def seconds(self, instant: Instant) -> float:
        """Seconds from the start of the scenario to an instant (negative before it)."""
        return seconds_after(self.start, instant)

    def pulse(self, seed: int) -> Pulse | None:
        """The effect of hours, days and chance on every wave's rate; None where there is none."""
        return pulse_of(self.demand.season, self.demand.regions, self.start, self.horizon, seed)

    def openings(self) -> list[tuple[float, float, float]]:
        """For each tier: when it is let in (seconds), the share of the pent-up, and the mean time they take to come."""
        given = {name: self.demand.openings.get(name) for name in self.tiers}
        return [(self.seconds(o.at), o.pent_up, o.within) if o else (-math.inf, 1.0, 0.0) for o in given.values()]

    def gpus(self, pool: str) -> int:
        """GPUs of a pool in the simulated slice."""
        return self.replicas(pool) * self.pools[pool].gpus_per_replica

    @property
    def apart(self) -> list[str]:
        """The pools whose GPUs have a queue each."""
        return [name for name, pool in self.pools.items() if pool.dispatch != CENTRAL]

    def replicas(self, pool: str) -> int:
        """Replicas of a pool in the simulated slice: each serves as one."""
        return round(self.pools[pool].replicas * self.scale)

    @property
    def played_cells(self) -> int:
        """How many cells the simulated slice is made of: a slice smaller than a cell is a part of one."""
        return max(1, round(self.cells * self.scale))

    @property
    def recording(self) -> Recording:
        if isinstance(self.record, Sample):
            return Recording(rows=False, sampled=self.record.sample)
        return Recording(rows=self.record == "rows")

    @property
    def midnight(self) -> float:
        """Seconds from the midnight (UTC) before the start to the start."""
        return self.start.hour * 3600.0 + self.start.minute * 60.0 + self.start.second

    def pace(self, pool: str, gpu: int, seed: int) -> float:
        """The constant factor on a GPU's times: cards of one kind differ."""
        if self.serving.gpu_speed_cv == 0:
            return 1.0
        sigma, first = math.sqrt(math.log1p(self.serving.gpu_speed_cv**2)), list(self.pools).index(pool) << 32
        return float(noise.direct(LOGNORMAL_NOISE, sigma, NO_FACTORS, seed, SPEED, first + gpu, 0))

    def specs(self) -> list[Spec]:
        """Every spec that can be asked or granted, without repetition, in the order of the file."""
        return list(dict.fromkeys(rung for feature in self.features.values() for rung in feature.rungs()))

    def meters(self) -> list[str]:
        """The meter of each feature: its own name unless it shares one."""
        return [feature.meter or name for name, feature in self.features.items()]
