"""Fleets that a search can look at: whole GPUs in every slice of the service, from one step up to a bound."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sim.errors import BadInput
from sim.model.knobs import MOST_GPUS
from sim.scenario.scenario import Scenario

PEOPLE = 20_000  # of a first run, which measures how many GPUs the demand would keep busy
FINE = 100  # steps in an answer, unless a step is given
MOST_TIMES = 16  # the offered load, beyond which no fleet is tried


@dataclass(frozen=True)
class Fleets:
    """The pools that are sized, all others as the scenario has them. Numbers of GPUs are at full scale.

    offered: GPUs that first requests would keep busy in the busiest window, if nobody waited. wished: GPUs by which an
    answer may differ from a smaller one; a hundredth of the offered load where None. kind: the kind of GPU that there
    are more or fewer of in pools of several; where None the one that is taken last. The others stay.
    """

    scenario: Scenario
    offered: dict[str, float]
    wished: int | None = None
    kind: str | None = None

    @property
    def pools(self) -> list[str]:
        return list(self.offered)

    def unit(self, pool: str, scale: float) -> float:
        """GPUs that stand for one replica in each cell of a slice."""
        return max(1, round(self.scenario.cells * scale)) / scale * self.scenario.pools[pool].gpus_per_replica

    def step(self, pool: str, scale: float) -> int:
        """GPUs by which a pool grows in a search at this scale."""
        unit = self.unit(pool, scale)
        units = 1
        if scale >= self.scenario.scale:
            units = round(self.wished / unit) if self.wished else plain_number(self.offered[pool] / FINE / unit)
        each = self.scenario.pools[pool].gpus_per_replica
        return max(1, round(max(1, units) * unit / each)) * each

    @property
    def coarse(self) -> float:
        """The scale of the slice in which a hundredth of the load is one GPU; the scenario's own if there is none."""
        full = self.scenario.scale
        parts = min(plain_number(load / FINE / self.unit(p, full)) for p, load in self.offered.items())
        if parts < 2:
            return full
        try:
            self.applied(self.start(full / parts), full / parts)
        except BadInput:  # a pool or a cell too small for it
            return full
        return full / parts

    def start(self, scale: float) -> dict[str, int]:
        """Square-root staffing: the offered load a, and sqrt(a) more (Halfin and Whitt 1981)."""
        return {
            p: self.places(p, load + math.sqrt(load), scale) * self.step(p, scale) for p, load in self.offered.items()
        }

    def places(self, pool: str, gpus: float, scale: float) -> int:
        """The fewest steps, at least one, that make up this number of GPUs, and the least that there can be."""
        return max(1, math.ceil(max(gpus, self.least(pool)) / self.step(pool, scale) - 1e-9))

    def least(self, pool: str) -> int:
        """The fewest GPUs that there can be in a pool: those of kinds that stay, and at least one."""
        return max(1, self.others(pool))

    def others(self, pool: str) -> int:
        """GPUs of the kinds that stay."""
        return sum(of.gpus for kind, of in self.scenario.pools[pool].kinds.items() if kind != self.sized(pool))

    def sized(self, pool: str) -> str:
        """The kind of GPU that a pool of several gets more or fewer of."""
        return self.kind or self.scenario.kinds_taken[pool][-1]

    def most(self, pool: str, scale: float) -> int:
        """The most steps that are tried."""
        gpus = MOST_TIMES * max(self.offered[pool], self.unit(pool, self.scenario.scale))
        held = MOST_GPUS / self.scenario.scale / (2 * len(self.scenario.pools))
        return self.places(pool, min(gpus, held), scale)

    def largest(self, scale: float) -> dict[str, int]:
        return {p: self.most(p, scale) * self.step(p, scale) for p in self.pools}

    def applied(self, fleet: Mapping[str, int], scale: float) -> Scenario:
        """The scenario with a fleet, in a slice. Raises BadInput where that slice cannot be."""
        gpus = {p: as_fields(n, self.kinds(p, n)) for p, n in fleet.items()}
        if scale < self.scenario.scale:  # the other pools: at least a GPU of the slice
            for p in self.scenario.pools.keys() - fleet.keys():
                pool, each = self.scenario.pools[p], self.scenario.pools[p].gpus_per_replica
                gpus[p] = {"gpus": max(pool.gpus, math.ceil(self.unit(p, scale) / each) * each)}
        return self.scenario.with_(pools=gpus, scale=scale)

    def kinds(self, pool: str, gpus: int) -> dict[str, int]:
        """How many of each kind a pool of several has with this number of GPUs."""
        own = {kind: of.gpus for kind, of in self.scenario.pools[pool].kinds.items()}
        return {**own, self.sized(pool): gpus - self.others(pool)} if own else {}


def with_gpus(scenario: Scenario, pool: str, gpus: int, kind: str | None = None) -> Scenario:
    """The scenario with another number of GPUs in a pool; of several kinds, those of `kind` (see Fleets).

    Raises BadInput where the others alone are more.
    """
    fleet = Fleets(scenario, {pool: 1.0}, kind=kind)
    if scenario.pools[pool].kinds and gpus < fleet.others(pool):
        expected = f"{fleet.others(pool):,} or more: the other kinds stay, and '{fleet.sized(pool)}' changes"
        raise BadInput("a fleet has GPUs of several kinds", key=f"pools.{pool}.gpus", value=gpus, expected=expected)
    return scenario.with_(pools={pool: as_fields(gpus, fleet.kinds(pool, gpus))})


def as_fields(gpus: int, kinds: Mapping[str, int]) -> dict[str, Any]:
    """What a scenario says of a pool with this number of GPUs, and of each kind where it has several."""
    return {"gpus": gpus, **({"kinds": {kind: {"gpus": n} for kind, n in kinds.items()}} if kinds else {})}


def plain_number(bound: float) -> int:
    """The largest of 1, 2, 5, 10, 20, 50, ... up to a bound; 1 where that is below 2."""
    power = 10 ** max(math.floor(math.log10(max(bound, 1.0))), 0)
    return max(times * power for times in (1, 2, 5) if times * power <= max(bound, 1.0))


def served_pools(scenario: Scenario) -> list[str]:
    return list(dict.fromkeys(feature.pool for feature in scenario.features.values()))


def sized_pools(scenario: Scenario, pool: str | None, kind: str | None = None) -> list[str]:
    """The pool that is sized, or where None all that serve a feature; kind: of GPU in them. Raises BadInput."""
    pools = served_pools(scenario)
    if pool is not None and pool not in pools:
        expected = f"one that serves a feature: {', '.join(pools)}"
        raise BadInput("this pool cannot be sized", key="pool", value=pool, expected=expected)
    sized = [pool] if pool else pools
    for name in sized:
        refuse_unknown_kind(scenario, name, kind)
    return sized


def pools_apart(scenario: Scenario, playbook: str, about: Collection[str]) -> dict[str, int]:
    """The GPUs of the pools that serve features, but none that a promise is `about`; none where GPUs move."""
    if any(step.policy.kind == "move gpus" for step in scenario.in_force(playbook)):
        return {}
    return {pool: scenario.pools[pool].gpus for pool in served_pools(scenario) if pool not in about}


def refuse_unknown_kind(scenario: Scenario, pool: str, kind: str | None) -> None:
    """Raise BadInput for a kind of GPU that a pool has not."""
    if kind is not None and kind not in scenario.pools[pool].kinds:
        expected = ", ".join(scenario.pools[pool].kinds) or "a pool with 'kinds'"
        raise BadInput(f"pool {pool!r} has no such kind of GPU", key="kind", value=kind, expected=expected)


def small_slice(scenario: Scenario) -> Scenario:
    """A slice of the scenario with few enough people for a quick first run; itself where there is none."""
    s, full = scenario, scenario.scale
    people = sum(w.times * float(w.cumulative(max(s.horizon - s.seconds(w.from_), 0))) for w in s.demand.waves)
    scale = full * min(1.0, PEOPLE / max(people * full, 1.0))
    if scale == full:
        return s
    cells = max(1, round(s.cells * scale))
    fleets = {p: {"gpus": math.ceil(cells / scale) * pool.gpus_per_replica} for p, pool in s.pools.items()}
    try:
        return s.with_(scale=scale, pools=fleets, cells=cells)
    except BadInput:
        return s


def wider(places: Mapping[str, int], steps: int) -> dict[str, int]:
    """Each pool larger by an eighth of itself, or by one, as often as this."""
    return {p: math.ceil(place * (1 + steps / 8)) + steps for p, place in places.items()}
