"""The checks of a scenario as a whole: names fit together, a slice divides without rounding, a run fits into memory.

Each raises ValueError that names the key, what is there and what was expected.
"""

import math
from typing import Self

import numpy as np
from pydantic import model_validator

from sim.demand.waves.callers import Callers
from sim.model.knobs import MOST_GPUS
from sim.policies.base import NamedPolicy, OfService
from sim.policies.playbook import Step
from sim.scenario.fields import UNLIMITED, ScenarioFields
from sim.scenario.parts import Feature, Pool
from sim.scenario.serving_options import BATCHES, CENTRAL, STEPS, THREADS
from sim.scenario.slices import NEARLY, as_ratio, divides, scales_that_divide

GPUS = OfService("GPUs")
MOST_COUNTED = 1000  # tiers times features: each is counted bin by bin, with histograms, in about 250 KB
MOST_SPECS, MOST_BATCH_TIMES = 10_000, 20_000_000  # over all ladders; seconds kept by pool, spec and size of the batch
MOST_QUEUES = 1e5  # of pools whose GPUs have one each, as if all such pools were as large as the largest; 8 KB each
MOST_PEOPLE, MOST_ASKS, MOST_TICKS = 40e6, 1e8, 1e7  # of one run: about 10 GB of memory, and hours


class CheckedFields(ScenarioFields):
    """The keys of a scenario file that fit together."""

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        check_shares(self)
        for name, feature in self.features.items():
            check_feature(self, name, feature)
        for region in self.demand.regions:
            if not any(f.share > 0 and f.region in ("", region) for f in self.features.values()):
                raise ValueError(f"features: nothing for the people of {region!r}, expected a feature of their region")
        for name, pool in self.pools.items():
            check_pool(self, name, pool)
        if self.warm_up >= self.horizon:
            raise ValueError("warm_up: expected less than the horizon")
        check_money(self)
        for key, step in self.steps():
            check_step(self, step, key)
        check_fleets(self)
        self.demand.check_names({name: tier.share for name, tier in self.tiers.items()}, list(self.features))
        if UNLIMITED in self.playbooks:
            raise ValueError(f"playbooks.{UNLIMITED}: this is what the run without limits is called, expected another")
        check_slice(self)
        check_size(self)
        return self


def check_shares(s: ScenarioFields) -> None:
    for what, shares in (("tiers", s.tiers), ("features", s.features)):
        total = sum(item.share for item in shares.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"{what}: the shares add up to {total:g}, expected 1")


def check_feature(s: ScenarioFields, name: str, feature: Feature) -> None:
    """A feature can be served by its pool, for a region that people live in, or elsewhere as it is here."""
    if feature.pool not in s.pools:
        raise ValueError(f"features.{name}.pool: no pool {feature.pool!r}, expected one of {', '.join(s.pools)}")
    pool = s.pools[feature.pool]
    if feature.length.kind != "fixed" and pool.runs == BATCHES:
        expected = "'fixed': a batch runs to its end, or a pool with 'runs: steps' or 'runs: threads'"
        raise ValueError(f"features.{name}.length: {feature.length.kind!r} cannot be, expected {expected}")
    for key in ("slo_first_token", "slo_per_token"):
        if getattr(feature, key) < math.inf and pool.runs != STEPS:
            expected = "a pool with 'runs: steps', which counts tokens, or no such key"
            raise ValueError(f"features.{name}.{key}: pool {feature.pool!r} runs {pool.runs}, expected {expected}")
    if feature.region and feature.region not in s.demand.regions:
        regions = ", ".join(s.demand.regions) or "none: demand.regions names none"
        raise ValueError(f"features.{name}.region: no region {feature.region!r}, expected one of {regions}")
    check_spill(s, name, feature)
    for rung in feature.rungs():
        if pool.runs != THREADS and rung.images > pool.max_batch:
            raise ValueError(f"features.{name}: {rung.images} images a request exceed its pool's max_batch")


def check_spill(s: ScenarioFields, name: str, feature: Feature) -> None:
    """Requests are sent only to where the same is served."""
    key = f"features.{name}.spill.to"
    for other in feature.spill.to if feature.spill is not None else ():
        if other == name or other not in s.features:
            raise ValueError(f"{key}: {other!r}, expected another feature, one of {list(s.features)}")
        for same in ("slo", "slo_first_token", "slo_per_token", "images"):
            if getattr(s.features[other], same) != getattr(feature, same):
                raise ValueError(f"{key}: {other!r} has another {same}, expected the same service elsewhere")
        if list(s.features[other].ladders()) != list(feature.ladders()):
            raise ValueError(f"{key}: {other!r} makes another number of images, expected the same service elsewhere")


def check_pool(s: ScenarioFields, name: str, pool: Pool) -> None:
    """Models are loaded in finite time, and kinds of GPU have profiles of the pool's own models."""
    if math.isinf(pool.model_load.law.a):
        raise ValueError(f"pools.{name}.model_load: expected a finite time")
    models = {rung.model for f in s.features.values() if f.pool == name for rung in f.rungs()}
    for kind, of in pool.kinds.items():
        if unknown := of.profiles.keys() - models:
            said = f"{min(unknown)!r} is no model that a feature of this pool names"
            raise ValueError(f"pools.{name}.kinds.{kind}.profiles: {said}, expected one of {sorted(models)}")


def check_money(s: ScenarioFields) -> None:
    """Users start to pay for a tier that costs something by the month; every hour of the run has its grams."""
    for name, tier in s.tiers.items():
        to = s.tiers.get(tier.converts_to)
        if tier.converts_to and (to is None or to is tier or not to.monthly):
            paid = [other for other, one in s.tiers.items() if one.monthly and other != name]
            expected = f"one of {paid}" if paid else "a tier with a price per month, and there is none"
            raise ValueError(f"tiers.{name}.converts_to: {tier.converts_to!r} cannot be, expected {expected}")
    hours = math.ceil(s.horizon / 3600 - 1e-9)
    given = len(s.footprint.grams_co2e_by_hour)
    if given not in (0, 24) and given < hours:
        expected = f"24, one for each hour of the day, or at least the {hours} of the run"
        raise ValueError(f"footprint.grams_co2e_by_hour: {given} figures, expected {expected}")


def check_step(s: ScenarioFields, step: Step, key: str) -> None:
    """Names in a playbook's step exist, and it ends after it begins."""
    for field, known in (("tiers", s.tiers), ("features", s.features)):
        for name in getattr(step.policy, field, None) or []:
            if name not in known:
                written = "first" if field == "tiers" and step.policy.kind == "priority" else field
                raise ValueError(f"{key}.policy.{written}: no {name!r}, expected one of {', '.join(known)}")
    for name in named_pools(step.policy):
        if name not in s.pools:
            field = "pools" if getattr(step.policy, "pools", None) else "pool"
            raise ValueError(f"{key}.policy.{field}: no {name!r}, expected one of {', '.join(s.pools)}")
    check_lost_work(s, step.policy, key)
    if step.when is not None and step.when.pool is not None and step.when.pool not in s.pools:
        raise ValueError(f"{key}.when.pool: no {step.when.pool!r}, expected one of {', '.join(s.pools)}")
    if not s.seconds(step.from_) < s.seconds(step.until):
        raise ValueError(f"{key}.until: expected an instant after 'from'")


def named_pools(policy: NamedPolicy) -> list[str]:
    pool = getattr(policy, "pool", None)
    return getattr(policy, "pools", None) or ([pool] if pool is not None else [])


def check_lost_work(s: ScenarioFields, policy: NamedPolicy, key: str) -> None:
    """Work is lost only where it can wait again: in one queue."""
    if policy.kind != "spot" and getattr(policy, "work", "finishes") == "finishes":
        return
    for name in named_pools(policy) or s.pools:
        if (rule := s.pools[name].dispatch) != CENTRAL:
            said = f"{policy.kind!r} loses work of pool {name!r}, whose GPUs have a queue each (dispatch: {rule})"
            raise ValueError(f"{key}.policy: {said}, expected a pool with a central queue, or work that finishes")


def check_fleets(s: ScenarioFields) -> None:
    """In no playbook a pool has no GPU throughout: every request would wait forever."""
    for name, steps in s.playbooks.items():
        listed = {"always": s.always, f"playbooks.{name}": steps}.items()
        in_order = [(f"{key}.{n}", step) for key, found in listed for n, step in enumerate(found)]
        last: dict[str, tuple[str, Step]] = {}
        for key, step in in_order:
            if step.policy.advice.family == "supply":
                last |= dict.fromkeys(named_pools(step.policy), (key, step))
        for key, step in last.values():
            whole = s.seconds(step.from_) <= 0 and s.seconds(step.until) >= s.horizon and step.when is None
            if step.policy.kind == "scheduled capacity" and not getattr(step.policy, "gpus", 1) and whole:
                said = "0, expected 1 or more, or a step that ends: without a GPU no request can be served"
                raise ValueError(f"{key}.policy.gpus: {said}")


def check_slice(s: ScenarioFields) -> None:
    """A slice, and each cell of it, has a whole number of everything that is counted: rounding flips verdicts."""
    if s.cells * s.scale > 1 and not divides(s.cells, s.scale):
        at = f"{s.cells} cells at scale {as_ratio(s.scale)} are {s.cells * s.scale:.4g}"
        raise ValueError(f"cells: {at}, expected a whole number of cells, or a part of one")
    counts, part = counts_of(s), s.scale / s.played_cells
    for key, (count, of) in counts.items():
        enough = count == 0 or count * part >= 1 - NEARLY
        if part == 1 or not math.isfinite(count) or (divides(count, part) if of.whole else enough):
            continue
        said = f"{count:,.15g} {of.what} at scale {as_ratio(part)} are {count * part:.4g}"
        if s.played_cells > 1:
            said = f"{count * s.scale:,.15g} {of.what} do not divide into {s.played_cells} cells"
            raise ValueError(f"{key}: {said}, expected as many in each")
        if not of.whole:
            raise ValueError(f"{key}: {said}, expected at least one: a 'scale' of {as_ratio(1 / count)} or more")
        scales = " or ".join(scales_that_divide([n for n, mark in counts.values() if n and mark.whole], part))
        raise ValueError(f"{key}: {said}, expected a whole number: a 'scale' of {scales}")


def counts_of(s: ScenarioFields) -> dict[str, tuple[float, OfService]]:
    """What is counted of the whole service, by key: GPUs, callers, and what settings of policies count."""
    found: dict[str, tuple[float, OfService]] = {}
    for name, pool in s.pools.items():
        found[f"pools.{name}.gpus"] = (float(pool.replicas), of_pool(pool))
    for number, wave in enumerate(s.demand.waves):
        if isinstance(wave, Callers):
            found[f"demand.waves.{number}.in_flight"] = (float(wave.in_flight), OfService("callers"))
    for name, pool in s.pools.items():
        for kind, of in pool.kinds.items():
            found[f"pools.{name}.kinds.{kind}.gpus"] = (of.gpus / pool.gpus_per_replica, of_pool(pool))
    for key, step in s.steps():
        found |= counts_of_policy(s, step.policy, key)
    return found


def of_pool(pool: Pool) -> OfService:
    """What a slice must have a whole number of: the GPUs of a pool, or its replicas."""
    return GPUS if pool.gpus_per_replica == 1 else OfService(f"replicas of {pool.gpus_per_replica} GPUs")


def counts_of_policy(s: ScenarioFields, policy: NamedPolicy, key: str) -> dict[str, tuple[float, OfService]]:
    """What a policy's settings count of the whole service; of GPUs, the replicas that they make."""
    found = {}
    for name, (count, mark) in policy.of_service().items():
        where = f"{key}.policy.{name}"
        found[where] = (count, mark)
        for pool in named_pools(policy) if mark == GPUS else ():
            each = s.pools[pool].gpus_per_replica
            if count % each:
                said = f"{count:,.15g} GPUs make no whole replicas of pool {pool!r}"
                raise ValueError(f"{where}: {said}, expected a multiple of {each}")
            found[where] = (count / each, of_pool(s.pools[pool]))
    return found


def check_size(s: ScenarioFields) -> None:
    """A run can be made: refused here rather than when memory is full."""
    if "control_tick" in s.model_fields_set and s.control_tick > s.horizon:
        raise ValueError("control_tick: expected the horizon at most, or no policy would ever act")
    if not 1900 <= s.start.year <= 2200:  # dates of tables end in 2262
        raise ValueError("start: expected a year from 1900 to 2200")
    people, invited = people_who_come(s)
    if s.played_cells > 1 and s.record != "timeline":
        raise ValueError(f"record: expected timeline where a run has several cells (here {s.played_cells})")
    asked = sum(c.clients * c.rate for c in s.demand.clients) * s.horizon
    apart = [s.pools[name].gpus * s.scale for name in s.apart]
    times = len(s.pools) * len(s.specs()) * (1 + max(pool.max_batch for pool in s.pools.values()))
    part = s.scale / s.played_cells
    for key, number, most, what in (
        ("demand", people * part, MOST_PEOPLE, "people"),
        ("demand", asked * part, MOST_ASKS, "requests of clients"),
        ("demand", invited * part, MOST_ASKS, "invitations"),
        ("pools", sum(pool.gpus * s.scale for pool in s.pools.values()), MOST_GPUS, "GPUs"),
        ("pools", len(apart) * max(apart, default=0) / s.played_cells, MOST_QUEUES, "queues, one for each GPU,"),
        ("features", len(s.tiers) * len(s.features), MOST_COUNTED, "pairs of a tier and a feature"),
        ("features", len(s.specs()), MOST_SPECS, "specs"),
        ("features", times, MOST_BATCH_TIMES, "times of batches (pools, specs and sizes)"),
        ("control_tick", s.horizon / s.control_tick, MOST_TICKS, "control ticks"),
        ("alive.window", s.horizon / s.alive.window, MOST_TICKS, "windows"),
    ):
        if not number <= most:
            run = "a run" if s.played_cells == 1 else "one cell of a run"
            slice_of = "; a smaller 'scale' simulates a slice" if key in ("demand", "pools") else ""
            said = f"{number:.2g} {what} are more than {run} can hold, expected at most {most:g}{slice_of}"
            raise ValueError(f"{key}: {said}")


def people_who_come(s: ScenarioFields) -> tuple[float, float]:
    """People whom waves bring by the horizon, or the market of word of mouth; and those whom images invite."""
    with np.errstate(over="ignore"):  # endlessly many are refused
        people = sum(w.times * float(w.cumulative(max(s.horizon - s.seconds(w.from_), 0))) for w in s.demand.waves)
    word = s.demand.word_of_mouth
    if word is None:
        return people, 0.0
    if word.market < people:
        raise ValueError(f"demand.word_of_mouth.market: expected more than the {people:.3g} people of the waves")
    return word.market, word.market * word.shared * word.signups * s.behaviour.requests.average
