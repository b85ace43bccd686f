"""Controls, the knobs that a policy may set, and Telemetry, all that it may see."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sim.errors import BadInput
from sim.model.knobs import (
    FLEET,
    KIND,
    KNOBS,
    POOL_KNOBS,
    QUOTA,
    REGION_OPEN,
    RETRY_KNOBS,
    SIGNUP_RATE,
    SLIDING,
    SLIDING_SLOTS,
    Knob,
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

    The table in sim.model.knobs names them. Values are set for the whole service and kept for the simulated slice.
    """

    def __init__(
        self,
        tiers: Sequence[str],
        features: Sequence[str],
        scale: float = 1.0,
        pools: Mapping[str, int] | None = None,
        regions: Sequence[str] = (),
    ):
        """scale: the slice that is simulated. pools: GPUs of each in that slice where no policy sets its fleet."""
        self.tiers, self.features, self.own_gpus = list(tiers), list(features), dict(pools or {})
        self.pool_names, self.region_names = list(self.own_gpus), list(regions)
        self.scale = scale
        self.knobs = np.empty((len(tiers), len(features), len(KNOBS)))
        self.pools = np.empty((len(self.pool_names), len(POOL_KNOBS)))
        self.retries = np.empty(len(RETRY_KNOBS))
        self.regions = np.empty(max(len(self.region_names), 1))  # the share of users for whom each is open
        self.signup_rate = math.inf  # people let in from the waitlist, per second
        self.set_by = np.full(self.knobs.shape, "", dtype=object)  # the policy that set each knob of the gateway
        self.others_set_by: dict[str, str] = {}  # and each other knob, by its name in the decision table
        self.policy = ""  # the policy that acts now
        self.open_all()

    def open_all(self) -> None:
        """Return every knob to its default."""
        self.knobs[:] = KNOBS.defaults
        self.pools[:] = POOL_KNOBS.defaults
        self.retries[:] = RETRY_KNOBS.defaults
        self.regions[:] = REGION_OPEN.default
        self.signup_rate = SIGNUP_RATE.default
        self.set_by[:] = ""
        self.others_set_by.clear()

    def set(
        self, *, tiers: Iterable[str] | None = None, features: Iterable[str] | None = None, **knobs: float | str
    ) -> None:
        """Set knobs of the gateway by name, for these tiers and features or for all. Raises BadInput."""
        rows = indices("tier", self.tiers, tiers)
        columns = indices("feature", self.features, features)
        for index, number in self.numbers(KNOBS, knobs):
            for row in rows:  # a handful, at every tick: faster than indexing with arrays
                for column in columns:
                    self.knobs[row, column, index] = number
                    self.set_by[row, column, index] = self.policy
        if "quota" in knobs or "kind" in knobs:
            self.check_quotas()

    def set_pool(self, pools: Iterable[str] | None = None, **knobs: float | str) -> None:
        """Set knobs of these pools, of all where None. Raises BadInput."""
        numbers = self.numbers(POOL_KNOBS, knobs)
        for row in indices("pool", self.pool_names, pools):
            for index, number in numbers:
                self.pools[row, index] = number
                self.note(POOL_KNOBS.knobs[index], pool=self.pool_names[row])

    def set_retries(self, **knobs: float | str) -> None:
        """Set knobs of everybody's retries. Raises BadInput."""
        for index, number in self.numbers(RETRY_KNOBS, knobs):
            self.retries[index] = number
            self.note(RETRY_KNOBS.knobs[index])

    def set_regions(self, regions: Iterable[str] | None = None, *, open: float) -> None:
        """Open regions to a share of their users, all where None. Raises BadInput."""
        for row in indices("region", self.region_names, regions):
            self.regions[row] = REGION_OPEN.number(open)
            self.note(REGION_OPEN, region=self.region_names[row])

    def let_in(self, people_per_second: float) -> None:
        """Open the waitlist at this rate; inf: there is no waitlist. Raises BadInput."""
        self.signup_rate = SIGNUP_RATE.number(people_per_second, self.scale)
        self.note(SIGNUP_RATE)

    def numbers(self, table: Table, knobs: dict[str, float | str]) -> list[tuple[int, float]]:
        """For each named knob its index and the number to keep."""
        indexed = [(table.index(name), value) for name, value in knobs.items()]
        return [(index, table.knobs[index].number(value, self.scale)) for index, value in indexed]

    def note(self, knob: Knob, *, pool: str = "", region: str = "") -> None:
        """Remember which policy set a knob of a pool, of retries, of a region or of the waitlist."""
        self.others_set_by[decided_name(knob, pool=pool, region=region)] = self.policy

    def fleet(self, pool: str) -> int:
        """GPUs of a pool in the slice as the knobs are now. Raises BadInput where there is no such pool."""
        (row,) = indices("pool", self.pool_names, [pool])
        knob = self.pools[row, FLEET]
        return self.own_gpus[pool] if math.isinf(knob) else int(knob)

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

    def copies(self) -> tuple[np.ndarray, ...]:
        """All knobs as they are now, but for the waitlist's."""
        return self.knobs.copy(), self.pools.copy(), self.retries.copy(), self.regions.copy()

    def changes(self, earlier: tuple[np.ndarray, ...]) -> list[dict[str, Any]]:
        """Which knobs differ from earlier copies of them: rows of the decision table."""
        before, pools, retries, regions = earlier
        rows = [
            self.change(decided_name(POOL_KNOBS.knobs[k], pool=self.pool_names[p]), pools[p, k], self.pools[p, k])
            for p, k in np.argwhere(pools != self.pools)
        ]
        rows += [
            self.change(decided_name(RETRY_KNOBS.knobs[k]), retries[k], self.retries[k])
            for (k,) in np.argwhere(retries != self.retries)
        ]
        rows += [
            self.change(decided_name(REGION_OPEN, region=self.region_names[r]), regions[r], self.regions[r])
            for (r,) in np.argwhere(regions != self.regions)
        ]
        for t, f, k in np.argwhere(before != self.knobs):
            row = self.change(KNOBS.knobs[k].name, before[t, f, k], self.knobs[t, f, k], self.set_by[t, f, k])
            rows.append({**row, "tier": self.tiers[t], "feature": self.features[f]})
        return rows

    def change(self, name: str, old: float, new: float, policy: str | None = None) -> dict[str, Any]:
        """A row of the decision table."""
        by = self.others_set_by.get(name, "") if policy is None else policy
        row = {"knob": name, "tier": None, "feature": None, "old": float(old), "new": float(new)}
        return {**row, "policy": by or UNSET}


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
