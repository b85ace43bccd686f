"""The keys that a scenario file may have, and the checks of the whole."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.demand.behaviour import Behaviour
from sim.demand.season import Pulse, pulse_of
from sim.demand.sources import Demand, seconds_after
from sim.demand.waves.callers import Callers
from sim.model.chance import LOGNORMAL_NOISE, noise
from sim.model.request import Spec
from sim.model.streams import SPEED
from sim.policies.base import NamedPolicy, OfService
from sim.policies.playbook import Step
from sim.scenario.parts import Alive, Feature, Footprint, Pool, Recording, Sample, Serving, Tier
from sim.scenario.prices import Plan
from sim.scenario.serving_options import BATCHES, CENTRAL, STEPS, THREADS
from sim.scenario.slices import NEARLY, as_ratio, divides, scales_that_divide
from sim.schema import Strict
from sim.units import Instant, Moment, Scale, Seconds, Whole

NO_FACTORS = np.empty(0)
GPUS = OfService("GPUs")
UNLIMITED = "unlimited fleet"  # the run against which the growth lost to a playbook is measured
LONGEST = 10 * 365 * 86400.0  # seconds
MOST_NAMES = 100  # tiers, features, pools: engines keep their numbers in a byte
MOST_COUNTED = 1000  # tiers times features: each is counted bin by bin, with histograms, in about 250 KB
MOST_SPECS, MOST_BATCH_TIMES = 10_000, 20_000_000  # over all ladders; seconds kept by pool, spec and size of the batch
MOST_QUEUES = 1e5  # of pools whose GPUs have one each, as if all such pools were as large as the largest; 8 KB each
MOST_PEOPLE, MOST_ASKS, MOST_GPUS, MOST_TICKS = 40e6, 1e8, 1e6, 1e7  # of one run: about 10 GB of memory, and hours


def of_pool(pool: Pool) -> OfService:
    """What a slice must have a whole number of: the GPUs of a pool, or its replicas."""
    return GPUS if pool.gpus_per_replica == 1 else OfService(f"replicas of {pool.gpus_per_replica} GPUs")


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

    def check_route(self, name: str, feature: Feature) -> None:
        """Refuse a region that nobody lives in, and requests that are sent to where something else is served."""
        if feature.region and feature.region not in self.demand.regions:
            regions = ", ".join(self.demand.regions) or "none: demand.regions names none"
            raise ValueError(f"features.{name}.region: no region {feature.region!r}, expected one of {regions}")
        for other in feature.spill.to if feature.spill is not None else ():
            key = f"features.{name}.spill.to"
            if other == name or other not in self.features:
                raise ValueError(f"{key}: {other!r}, expected another feature, one of {list(self.features)}")
            for same in ("slo", "slo_first_token", "slo_per_token", "images"):
                if getattr(self.features[other], same) != getattr(feature, same):
                    raise ValueError(f"{key}: {other!r} has another {same}, expected the same service elsewhere")
            if list(self.features[other].ladders()) != list(feature.ladders()):
                raise ValueError(
                    f"{key}: {other!r} makes another number of images, expected the same service elsewhere"
                )

    def shares_of_features(self, region: str) -> list[float]:
        """Of the asks of this region's people."""
        shares = [f.share if f.region in ("", region) else 0.0 for f in self.features.values()]
        total = sum(shares)
        if all(f.region in ("", region) for f in self.features.values()):
            return shares  # as they are written, to the last bit
        return [share / total for share in shares]

    @model_validator(mode="after")
    def names_fit_together(self) -> Self:
        for what, shares in (("tiers", self.tiers), ("features", self.features)):
            total = sum(item.share for item in shares.values())
            if abs(total - 1) > 1e-6:
                raise ValueError(f"{what}: the shares add up to {total:g}, expected 1")
        for name, feature in self.features.items():
            if feature.pool not in self.pools:
                raise ValueError(
                    f"features.{name}.pool: no pool {feature.pool!r}, expected one of {', '.join(self.pools)}"
                )
            runs = self.pools[feature.pool].runs
            if feature.length.kind != "fixed" and runs == BATCHES:
                expected = "'fixed': a batch runs to its end, or a pool with 'runs: steps' or 'runs: threads'"
                raise ValueError(f"features.{name}.length: {feature.length.kind!r} cannot be, expected {expected}")
            for key in ("slo_first_token", "slo_per_token"):
                if getattr(feature, key) < math.inf and runs != STEPS:
                    expected = "a pool with 'runs: steps', which counts tokens, or no such key"
                    raise ValueError(f"features.{name}.{key}: pool {feature.pool!r} runs {runs}, expected {expected}")
            self.check_route(name, feature)
            for rung in feature.rungs():
                if runs != THREADS and rung.images > self.pools[feature.pool].max_batch:
                    raise ValueError(f"features.{name}: {rung.images} images a request exceed its pool's max_batch")
        for region in self.demand.regions:
            if not any(f.share > 0 and f.region in ("", region) for f in self.features.values()):
                raise ValueError(f"features: nothing for the people of {region!r}, expected a feature of their region")
        for name, pool in self.pools.items():
            if math.isinf(pool.model_load.law.a):
                raise ValueError(f"pools.{name}.model_load: expected a finite time")
            models = {rung.model for f in self.features.values() if f.pool == name for rung in f.rungs()}
            for kind, of in pool.kinds.items():
                if unknown := of.profiles.keys() - models:
                    said = f"{min(unknown)!r} is no model that a feature of this pool names"
                    raise ValueError(f"pools.{name}.kinds.{kind}.profiles: {said}, expected one of {sorted(models)}")
        if self.warm_up >= self.horizon:
            raise ValueError("warm_up: expected less than the horizon")
        self.check_money()
        for key, step in self.steps():
            self.check_step(step, key)
        self.check_fleets()
        self.demand.check_names({name: tier.share for name, tier in self.tiers.items()}, list(self.features))
        if UNLIMITED in self.playbooks:
            raise ValueError(f"playbooks.{UNLIMITED}: this is what the run without limits is called, expected another")
        return self

    @model_validator(mode="after")
    def nothing_is_rounded(self) -> Self:
        """A slice, and each cell of it, has a whole number of everything that is counted: rounding flips verdicts."""
        if self.cells * self.scale > 1 and not divides(self.cells, self.scale):
            at = f"{self.cells} cells at scale {as_ratio(self.scale)} are {self.cells * self.scale:.4g}"
            raise ValueError(f"cells: {at}, expected a whole number of cells, or a part of one")
        counts = {f"pools.{n}.gpus": (float(pool.replicas), of_pool(pool)) for n, pool in self.pools.items()}
        callers = {f"demand.waves.{n}.in_flight": w for n, w in enumerate(self.demand.waves) if isinstance(w, Callers)}
        counts |= {key: (float(wave.in_flight), OfService("callers")) for key, wave in callers.items()}
        for name, pool in self.pools.items():
            each, of = pool.gpus_per_replica, of_pool(pool)
            counts |= {f"pools.{name}.kinds.{kind}.gpus": (k.gpus / each, of) for kind, k in pool.kinds.items()}
        for key, step in self.steps():
            counts |= {f"{key}.policy.{name}": found for name, found in self.counted(step, key).items()}
        part = self.scale / self.played_cells
        for key, (count, of) in counts.items():
            enough = count == 0 or count * part >= 1 - NEARLY
            if part == 1 or not math.isfinite(count) or (divides(count, part) if of.whole else enough):
                continue
            said = f"{count:,.15g} {of.what} at scale {as_ratio(part)} are {count * part:.4g}"
            if self.played_cells > 1:
                said = f"{count * self.scale:,.15g} {of.what} do not divide into {self.played_cells} cells"
                raise ValueError(f"{key}: {said}, expected as many in each")
            if not of.whole:
                raise ValueError(f"{key}: {said}, expected at least one: a 'scale' of {as_ratio(1 / count)} or more")
            scales = " or ".join(scales_that_divide([n for n, mark in counts.values() if n and mark.whole], part))
            raise ValueError(f"{key}: {said}, expected a whole number: a 'scale' of {scales}")
        return self

    @model_validator(mode="after")
    def can_be_simulated(self) -> Self:
        """Refused here rather than when memory is full."""
        if "control_tick" in self.model_fields_set and self.control_tick > self.horizon:
            raise ValueError("control_tick: expected the horizon at most, or no policy would ever act")
        if not 1900 <= self.start.year <= 2200:  # dates of tables end in 2262
            raise ValueError("start: expected a year from 1900 to 2200")
        demand = self.demand
        with np.errstate(over="ignore"):  # endlessly many are refused below
            people = sum(
                w.times * float(w.cumulative(max(self.horizon - self.seconds(w.from_), 0))) for w in demand.waves
            )
        word, invited = demand.word_of_mouth, 0.0
        if word is not None:
            if word.market < people:
                raise ValueError(
                    f"demand.word_of_mouth.market: expected more than the {people:.3g} people of the waves"
                )
            people = word.market
            invited = word.market * word.shared * word.signups * self.behaviour.requests.average
        asked = sum(c.clients * c.rate for c in demand.clients) * self.horizon
        gpus = sum(pool.gpus * self.scale for pool in self.pools.values())
        apart = [self.pools[name].gpus * self.scale for name in self.apart]
        if self.played_cells > 1 and self.record != "timeline":
            raise ValueError(f"record: expected timeline where a run has several cells (here {self.played_cells})")
        times = len(self.pools) * len(self.specs()) * (1 + max(pool.max_batch for pool in self.pools.values()))
        people, invited, asked = (number / self.played_cells for number in (people, invited, asked))
        for key, number, most, what in (
            ("demand", people * self.scale, MOST_PEOPLE, "people"),
            ("demand", asked * self.scale, MOST_ASKS, "requests of clients"),
            ("demand", invited * self.scale, MOST_ASKS, "invitations"),
            ("pools", gpus, MOST_GPUS, "GPUs"),
            ("pools", len(apart) * max(apart, default=0) / self.played_cells, MOST_QUEUES, "queues, one for each GPU,"),
            ("features", len(self.tiers) * len(self.features), MOST_COUNTED, "pairs of a tier and a feature"),
            ("features", len(self.specs()), MOST_SPECS, "specs"),
            ("features", times, MOST_BATCH_TIMES, "times of batches (pools, specs and sizes)"),
            ("control_tick", self.horizon / self.control_tick, MOST_TICKS, "control ticks"),
            ("alive.window", self.horizon / self.alive.window, MOST_TICKS, "windows"),
        ):
            if not number <= most:
                run = "a run" if self.played_cells == 1 else "one cell of a run"
                slice_of = "; a smaller 'scale' simulates a slice" if key in ("demand", "pools") else ""
                said = f"{number:.2g} {what} are more than {run} can hold, expected at most {most:g}{slice_of}"
                raise ValueError(f"{key}: {said}")
        return self

    def check_fleets(self) -> None:
        """Refuse a playbook whose pool has no GPU throughout: every request would wait forever."""
        for name, steps in self.playbooks.items():
            listed = {"always": self.always, f"playbooks.{name}": steps}.items()
            in_order = [(f"{key}.{n}", step) for key, found in listed for n, step in enumerate(found)]
            supply = [(key, step) for key, step in in_order if step.policy.advice.family == "supply"]
            last: dict[str, tuple[str, Step]] = {}
            for key, step in supply:
                named = getattr(step.policy, "pools", None) or [getattr(step.policy, "pool", "")]
                last |= dict.fromkeys(named, (key, step))
            for key, step in last.values():
                whole = self.seconds(step.from_) <= 0 and self.seconds(step.until) >= self.horizon and step.when is None
                if step.policy.kind == "scheduled capacity" and not getattr(step.policy, "gpus", 1) and whole:
                    said = "0, expected 1 or more, or a step that ends: without a GPU no request can be served"
                    raise ValueError(f"{key}.policy.gpus: {said}")

    def check_money(self) -> None:
        """Users start to pay for a tier that costs something by the month; every hour of the run has its grams."""
        for name, tier in self.tiers.items():
            to = self.tiers.get(tier.converts_to)
            if tier.converts_to and (to is None or to is tier or not to.monthly):
                paid = [other for other, one in self.tiers.items() if one.monthly and other != name]
                expected = f"one of {paid}" if paid else "a tier with a price per month, and there is none"
                raise ValueError(f"tiers.{name}.converts_to: {tier.converts_to!r} cannot be, expected {expected}")
        hours = math.ceil(self.horizon / 3600 - 1e-9)
        given = len(self.footprint.grams_co2e_by_hour)
        if given not in (0, 24) and given < hours:
            expected = f"24, one for each hour of the day, or at least the {hours} of the run"
            raise ValueError(f"footprint.grams_co2e_by_hour: {given} figures, expected {expected}")

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Every step with its key: those always in force, then each playbook's."""
        for name, steps in {"always": self.always, **self.playbooks}.items():
            for number, step in enumerate(steps):
                yield f"{'' if name == 'always' else 'playbooks.'}{name}.{number}", step

    def check_step(self, step: Step, key: str) -> None:
        """Names in a playbook's step exist, and it ends after it begins."""
        for field, known in (("tiers", self.tiers), ("features", self.features)):
            for name in getattr(step.policy, field, None) or []:
                if name not in known:
                    written = "first" if field == "tiers" and step.policy.kind == "priority" else field
                    raise ValueError(f"{key}.policy.{written}: no {name!r}, expected one of {', '.join(known)}")
        pool = getattr(step.policy, "pool", None)
        for field, named in (
            ("pool", [pool] if pool is not None else []),
            ("pools", getattr(step.policy, "pools", None)),
        ):
            for name in named or []:
                if name not in self.pools:
                    raise ValueError(f"{key}.policy.{field}: no {name!r}, expected one of {', '.join(self.pools)}")
        self.check_lost_work(step, key)
        if step.when is not None and step.when.pool is not None and step.when.pool not in self.pools:
            raise ValueError(f"{key}.when.pool: no {step.when.pool!r}, expected one of {', '.join(self.pools)}")
        if not self.seconds(step.from_) < self.seconds(step.until):
            raise ValueError(f"{key}.until: expected an instant after 'from'")

    def counted(self, step: Step, key: str) -> dict[str, tuple[float, OfService]]:
        """What a policy's settings count of the whole service; of GPUs, the replicas that they make."""
        found = step.policy.of_service()
        for name, (count, mark) in found.items():
            for pool in self.named_pools(step.policy) if mark == GPUS else ():
                each = self.pools[pool].gpus_per_replica
                if count % each:
                    said = f"{count:,.15g} GPUs make no whole replicas of pool {pool!r}"
                    raise ValueError(f"{key}.policy.{name}: {said}, expected a multiple of {each}")
                found[name] = (count / each, of_pool(self.pools[pool]))
        return found

    def named_pools(self, policy: NamedPolicy) -> list[str]:
        pool = getattr(policy, "pool", None)
        return getattr(policy, "pools", None) or ([pool] if pool is not None else [])

    def check_lost_work(self, step: Step, key: str) -> None:
        """Work is lost only where it can wait again: in one queue."""
        policy = step.policy
        if policy.kind != "spot" and getattr(policy, "work", "finishes") == "finishes":
            return
        for name in self.named_pools(policy) or self.pools:
            if (rule := self.pools[name].dispatch) != CENTRAL:
                said = f"{policy.kind!r} loses work of pool {name!r}, whose GPUs have a queue each (dispatch: {rule})"
                raise ValueError(f"{key}.policy: {said}, expected a pool with a central queue, or work that finishes")

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
