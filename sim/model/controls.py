"""Controls, the knobs that a policy may set, and Telemetry, all that it may see."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sim.errors import BadInput
from sim.model.knobs import (
    FLEET,
    KIND,
    KNOBS,
    LOST,
    POOL_KNOBS,
    QUOTA,
    REGION_OPEN,
    RETRY_KNOBS,
    SIGNUP_RATE,
    SLIDING,
    SLIDING_SLOTS,
    Table,
    decided_name,
)

LAST = 1_000_000  # a priority after every other
UNSET = "not set any more"  # in the decision table in place of a policy, where a knob returns to its default


@dataclass(frozen=True)
class PoolTelemetry:
    """One pool as its gateway sees it."""

    gpus: int  # in service
    busy: int  # serving a batch, also those that leave the service after it
    queued: int
    inside: int  # requests waiting or being served
    expected_wait: float  # seconds, for a request of the lowest priority

    @property
    def utilisation(self) -> float:
        """Share of the GPUs in service that are busy, slowed ones as others.

        It is at most 1, although GPUs that have been taken out of service may still be busy. Without any GPU in service
        it is 1 where requests are in the pool, and 0 where there are none.
        """
        if self.gpus == 0:
            return float(self.inside > 0)
        return min(1.0, self.busy / self.gpus)


@dataclass(frozen=True)
class Telemetry:
    """The service as a gateway sees it at a control tick; counts are since the tick before.

    No user's patience, intention or future is in here, and a policy that acts on this alone can be built for real.
    Arrays are read-only, of shape (tiers, features).
    """

    now: float  # seconds since the start
    pools: dict[str, PoolTelemetry]
    arrivals: np.ndarray  # attempts at the gateway
    refused: np.ndarray
    served: np.ndarray
    waited: np.ndarray  # summed wait of the requests that started, seconds
    started: np.ndarray
    latency: np.ndarray  # summed latency of the requests that were served, seconds
    signups: int
    waitlisted: int  # people on the waitlist now
    active: int = 0  # people in the midst of a day of use: they have asked, and have not finished

    def pool(self, name: str) -> PoolTelemetry:
        """A pool by its name. Raises BadInput where the scenario has no such pool."""
        if name not in self.pools:
            known = ", ".join(self.pools)
            raise BadInput("the scenario has no such pool", key="pool", value=name, expected=known)
        return self.pools[name]


def read_only(counts: object) -> np.ndarray:
    """A copy of some counts that nobody can write into."""
    array = np.array(counts, dtype=float)
    array.flags.writeable = False
    return array


class Policy(Protocol):
    """Anything with act(), which is called at the start and at every control tick to set knobs.

    Every tick begins with all knobs at their defaults. The policies of a playbook then act in order, and a later one
    may override an earlier one. A knob that no policy sets returns to its default at the next tick.
    """

    def act(self, telemetry: Telemetry, controls: "Controls") -> None: ...


class Controls:
    """The values of all knobs: a row for each tier and feature, for each pool and for retries; regions, the waitlist.

    The tables in sim.model.knobs name them. Values are set for the whole service and kept for the simulated slice.
    """

    def __init__(
        self,
        tiers: Sequence[str],
        features: Sequence[str],
        scale: float = 1.0,
        pools: Mapping[str, int] | None = None,
        regions: Sequence[str] = (),
        replicas: Mapping[str, int] | None = None,
        apart: Collection[str] = (),
        staying: Mapping[str, int] | None = None,
    ):
        """scale: the slice that is simulated. pools: GPUs of each in that slice where no policy sets its fleet.

        replicas: for pools whose replicas have several GPUs, how many. apart: pools whose GPUs have a queue each.
        staying: for pools of several kinds, GPUs of the whole service that cannot move: all but the kind taken last.
        """
        self.tiers, self.features, self.own_gpus = list(tiers), list(features), dict(pools or {})
        self.pool_names, self.region_names = list(self.own_gpus), list(regions)
        self.scale = scale
        self.apart, self.staying = frozenset(apart), dict(staying or {})
        self.per_replica = [(replicas or {}).get(pool, 1) for pool in self.pool_names]
        self.of: list[tuple[str, str | None, str | None]] = [
            (decided_name(k, pool=p), None, None) for p in self.pool_names for k in POOL_KNOBS.knobs
        ]
        retries = len(self.of)  # where those of retries begin
        self.of += [(decided_name(k), None, None) for k in RETRY_KNOBS.knobs]
        open_to = len(self.of)
        self.of += [(decided_name(REGION_OPEN, region=r), None, None) for r in self.region_names or [""]]
        self.gateway = len(self.of)
        self.of += [(k.name, t, f) for t in self.tiers for f in self.features for k in KNOBS.knobs]
        self.of.append((SIGNUP_RATE.name, None, None))  # of every value its knob, tier and feature, as it is decided on
        self.defaults = np.array(
            POOL_KNOBS.defaults * len(self.pool_names)
            + RETRY_KNOBS.defaults
            + (REGION_OPEN.default,) * max(len(self.region_names), 1)
            + KNOBS.defaults * (len(self.tiers) * len(self.features))
            + (SIGNUP_RATE.default,)
        )
        self.values = self.defaults.copy()  # all in one array, so that a tick compares and copies once
        self.pools = self.values[:retries].reshape(len(self.pool_names), len(POOL_KNOBS))
        self.retries = self.values[retries:open_to]
        self.regions = self.values[open_to : self.gateway]  # the share of users for whom each is open
        self.knobs = self.values[self.gateway : -1].reshape(len(self.tiers), len(self.features), len(KNOBS))
        self.set_by: dict[int, str] = {}  # the policy that set each value, by its place in `values`
        self.policy = ""  # the policy that acts now

    @property
    def signup_rate(self) -> float:
        """People let in from the waitlist, per second; inf: there is no waitlist."""
        return float(self.values[-1])

    def open_all(self) -> None:
        """Return every knob to its default."""
        self.values[:] = self.defaults
        self.set_by.clear()

    def put(self, place: int, number: float) -> None:
        """Set one value, and remember which policy did."""
        self.values[place] = number
        self.set_by[place] = self.policy

    def set(
        self, *, tiers: Iterable[str] | None = None, features: Iterable[str] | None = None, **knobs: float | str
    ) -> None:
        """Set knobs of the gateway by name, for these tiers and features or for all. Raises BadInput."""
        rows = indices("tier", self.tiers, tiers)
        columns = indices("feature", self.features, features)
        for index, number in self.numbers(KNOBS, knobs):
            for row in rows:  # a handful, at every tick: faster than indexing with arrays
                for column in columns:
                    self.put(self.gateway + (row * len(self.features) + column) * len(KNOBS) + index, number)
        if "quota" in knobs or "kind" in knobs:
            self.check_quotas()

    def set_pool(self, pools: Iterable[str] | None = None, **knobs: float | str) -> None:
        """Set knobs of these pools, of all where None; GPUs are rounded to whole replicas. Raises BadInput.

        Work can be lost (`lost`) only in pools of one queue, where it can wait again.
        """
        numbers = self.numbers(POOL_KNOBS, knobs)
        for row in indices("pool", self.pool_names, pools):
            if knobs.get("lost") and self.pool_names[row] in self.apart:
                expected = "a pool with a central queue: lost work cannot wait again at a GPU"
                raise BadInput("work cannot be lost", key="lost", value=self.pool_names[row], expected=expected)
            for index, number in numbers:
                each = self.per_replica[row] if index in (FLEET, LOST) and number < math.inf else 1
                self.put(row * len(POOL_KNOBS) + index, number if each == 1 else math.floor(number / each + 0.5) * each)

    def set_retries(self, **knobs: float | str) -> None:
        """Set knobs of everybody's retries. Raises BadInput."""
        for index, number in self.numbers(RETRY_KNOBS, knobs):
            self.put(self.pools.size + index, number)

    def set_regions(self, regions: Iterable[str] | None = None, *, open: float) -> None:
        """Open regions to a share of their users, all where None. Raises BadInput."""
        for row in indices("region", self.region_names, regions):
            self.put(self.pools.size + self.retries.size + row, REGION_OPEN.number(open))

    def let_in(self, people_per_second: float) -> None:
        """Open the waitlist at this rate; inf: there is no waitlist. Raises BadInput."""
        self.put(len(self.values) - 1, SIGNUP_RATE.number(people_per_second, self.scale))

    def numbers(self, table: Table, knobs: dict[str, float | str]) -> list[tuple[int, float]]:
        """For each named knob its index and the number to keep."""
        indexed = [(table.index(name), value) for name, value in knobs.items()]
        return [(index, table.knobs[index].number(value, self.scale)) for index, value in indexed]

    def fleets(self) -> dict[str, int]:
        """GPUs of each pool in the slice as the knobs are now."""
        knobs = zip(self.own_gpus.items(), self.pools[:, FLEET].tolist(), strict=True)
        return {pool: own if knob == math.inf else int(knob) for (pool, own), knob in knobs}

    def fleet(self, pool: str) -> int:
        """GPUs of a pool in the slice as the knobs are now. Raises BadInput where there is no such pool."""
        indices("pool", self.pool_names, [pool])
        return self.fleets()[pool]

    def check_quotas(self) -> None:
        quota = self.knobs[:, :, QUOTA]
        long = (self.knobs[:, :, KIND] == SLIDING) & (quota > SLIDING_SLOTS) & (quota < math.inf)
        if long.any():
            raise BadInput(
                f"a sliding quota remembers at most {SLIDING_SLOTS} uses",
                key="quota",
                value=float(quota[long][0]),
                expected="kind 'sliding counter' for larger quotas",
            )

    def knob(self, name: str, tier: str, feature: str) -> float:
        """The value of one knob now."""
        return float(self.knobs[self.tiers.index(tier), self.features.index(feature), KNOBS.index(name)])

    def copies(self) -> np.ndarray:
        """All knobs as they are now."""
        return self.values.copy()

    def changes(self, earlier: np.ndarray) -> list[dict[str, Any]]:
        """Which knobs differ from an earlier copy of them: rows of the decision table."""
        return [self.change(place, float(earlier[place])) for place in (earlier != self.values).nonzero()[0].tolist()]

    def change(self, place: int, old: float) -> dict[str, Any]:
        """A row of the decision table."""
        knob, tier, feature = self.of[place]
        new, policy = float(self.values[place]), self.set_by.get(place, "") or UNSET
        return {"knob": knob, "tier": tier, "feature": feature, "old": old, "new": new, "policy": policy}


def indices(what: str, names: list[str], wanted: Iterable[str] | None) -> list[int]:
    """Positions of the wanted names, all where None; raises BadInput for a name the scenario does not have."""
    if wanted is None:
        return list(range(len(names)))
    if isinstance(wanted, str):
        wanted = [wanted]
    positions = []
    for name in wanted:
        if name not in names:
            raise BadInput(f"the scenario has no such {what}", key=f"{what}s", value=name, expected=", ".join(names))
        positions.append(names.index(name))
    return positions
