"""Controls, the knobs that a policy may turn, and Telemetry, all that it may see."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sim.errors import BadInput
from sim.model.knobs import (
    BACKOFFS,
    BUDGETS,
    CODELS,
    FLEET,
    FREE_RETRIES,
    KIND,
    KNOBS,
    MOST_FLOWS,
    ORDERS,
    PLAIN_POOL,
    POOL_KNOBS,
    QUOTA,
    QUOTA_KINDS,
    RETRY_KNOBS,
    SHARINGS,
    SLIDING,
    SLIDING_SLOTS,
    UNLIMITED,
)

SHARES = ("open", "shed", "final", "foresight", "mixed")
LAST = 1_000_000  # a priority after every other
WHOLE = ("level", "priority", "burst", "quota", "other", "flow", "queues", "hand")
SCALED = ("queue", "limit", "bucket", "ration", "fleet")  # knobs that count for the whole service
POSITIVE = ("window", "burst", "target", "interval", "weight", "slowdown", "power", "queues", "hand")
NAMED = {  # knobs that are one of a few
    "kind": QUOTA_KINDS,
    "order": ORDERS,
    "codel": CODELS,
    "budget": BUDGETS,
    "sharing": SHARINGS,
    "backoff": BACKOFFS,
}
MOST_GPUS = 1_000_000  # in service, of one pool


@dataclass(frozen=True)
class PoolTelemetry:
    """One pool as its gateway sees it."""

    gpus: int  # in service
    busy: int  # serving a batch, also those that leave the service after it
    queued: int
    inside: int  # requests waiting or being served
    expected_wait: float  # seconds, for a request of the lowest priority


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


def read_only(counts: object) -> np.ndarray:
    """A copy of some counts that nobody can write into."""
    array = np.array(counts, dtype=float)
    array.flags.writeable = False
    return array


class Policy(Protocol):
    """Anything with act(): called at the start and at every control tick to set the knobs it wants set.

    Knobs begin each tick wide open; the policies of a playbook then act in order, the later on top of the earlier.
    What no policy sets at a tick is open again, so undoing is simply not doing.
    """

    def act(self, telemetry: Telemetry, controls: "Controls") -> None: ...


class Controls:
    """All knobs: of the gateway a row a tier and feature, of the pools a row each, of retries; regions, the waitlist.

    They are named in sim.model.knobs: KNOBS, POOL_KNOBS, RETRY_KNOBS.
    """

    def __init__(
        self,
        tiers: Sequence[str],
        features: Sequence[str],
        scale: float = 1.0,
        pools: Mapping[str, int] | None = None,
        regions: Sequence[str] = (),
    ):
        """pools: the GPUs that each has in the simulated slice where no policy says otherwise."""
        self.tiers, self.features, self.own_gpus = list(tiers), list(features), dict(pools or {})
        self.pool_names, self.region_names = list(self.own_gpus), list(regions)
        self.scale = scale  # a slice of the service has a slice of its queue and of its waitlist's rate
        self.knobs = np.empty((len(tiers), len(features), len(KNOBS)))
        self.signup_rate = math.inf  # people let in from the waitlist, a second
        self.turned_by = np.full(self.knobs.shape, "", dtype=object)
        self.pools = np.empty((len(self.pool_names), len(POOL_KNOBS)))
        self.retries = np.empty(len(RETRY_KNOBS))
        self.regions = np.empty(max(len(self.region_names), 1))  # the share of users for whom each is open
        self.others_by: dict[str, str] = {}  # whose turn it was, of the knobs of pools and retries
        self.signups_by = ""
        self.policy = ""  # whose turn it is
        self.open_all()

    def open_all(self) -> None:
        """Every knob wide open."""
        self.knobs[:] = UNLIMITED
        self.pools[:] = PLAIN_POOL
        self.retries[:] = FREE_RETRIES
        self.regions[:] = 1.0
        self.signup_rate = math.inf
        self.turned_by[:] = ""
        self.others_by.clear()
        self.signups_by = ""

    def set(
        self, *, tiers: Iterable[str] | None = None, features: Iterable[str] | None = None, **knobs: float | str
    ) -> None:
        """Set knobs (by name, as in model.knobs.KNOBS) for these tiers and features, or for all. Raises BadInput."""
        rows = indices("tier", self.tiers, tiers)
        columns = indices("feature", self.features, features)
        for name, value in knobs.items():
            if name not in KNOBS:
                raise BadInput("there is no such knob", key=name, expected=", ".join(KNOBS))
            knob, number = KNOBS.index(name), self.checked(name, value)
            for row in rows:  # a handful, at every tick: faster than indexing with arrays
                for column in columns:
                    self.knobs[row, column, knob] = number
                    self.turned_by[row, column, knob] = self.policy
        if "quota" in knobs or "kind" in knobs:
            self.check_quotas()

    def set_pool(self, pools: Iterable[str] | None = None, **knobs: float | str) -> None:
        """Set knobs of pools (by name, as in sim.model.knobs.POOL_KNOBS), of all where None. Raises BadInput."""
        for row in indices("pool", self.pool_names, pools):
            for name, value in knobs.items():
                if name not in POOL_KNOBS:
                    raise BadInput("a pool has no such knob", key=name, expected=", ".join(POOL_KNOBS))
                self.pools[row, POOL_KNOBS.index(name)] = self.checked(name, value)
                self.others_by[f"{self.pool_names[row]}: {name}"] = self.policy

    def set_retries(self, **knobs: float | str) -> None:
        """Set knobs of everybody's retries (by name, as in sim.model.knobs.RETRY_KNOBS). Raises BadInput."""
        for name, value in knobs.items():
            if name not in RETRY_KNOBS:
                raise BadInput("retries have no such knob", key=name, expected=", ".join(RETRY_KNOBS))
            self.retries[RETRY_KNOBS.index(name)] = self.checked(name, value)
            self.others_by[f"retry {name}"] = self.policy

    def set_regions(self, regions: Iterable[str] | None = None, *, open: float) -> None:
        """Open regions to a share of their users, all where None. Raises BadInput."""
        for row in indices("region", self.region_names, regions):
            self.regions[row] = self.checked("open", open)
            self.others_by[f"{self.region_names[row]}: open"] = self.policy

    def fleet(self, pool: str) -> int:
        """GPUs of a pool in the slice as the knobs are now."""
        knob = self.pools[self.pool_names.index(pool), FLEET]
        return self.own_gpus[pool] if math.isinf(knob) else int(knob)

    def let_in(self, people_per_second: float) -> None:
        """Open the waitlist at this rate (inf: no waitlist)."""
        if not people_per_second >= 0:
            raise BadInput("a waitlist lets in at a rate of 0 or more", key="signup_rate", value=people_per_second)
        self.signup_rate, self.signups_by = people_per_second * self.scale, self.policy

    def checked(self, name: str, value: float | str) -> float:
        if name in NAMED:
            if value not in NAMED[name]:
                what = "unknown kind of quota" if name == "kind" else "a knob cannot be set to that"
                raise BadInput(what, key=name, value=value, expected=", ".join(NAMED[name]))
            return float(NAMED[name].index(str(value)))
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        whole = number.is_integer() or (name == "quota" and number == math.inf)
        if math.isnan(number) or number < 0 or (name in SHARES and number > 1) or (name in WHOLE and not whole):
            expected = "a number from 0 up; a share to 1; a level, a priority, a burst and a quota whole"
            raise BadInput("a knob cannot be set to that", key=name, value=value, expected=expected)
        if name in POSITIVE and not 0 < number < math.inf:
            raise BadInput("a knob cannot be set to that", key=name, value=value, expected="a finite number above 0")
        if name in ("flow", "queues") and not number < MOST_FLOWS + (name == "queues"):
            raise BadInput(
                "a pool has not so many flows", key=name, value=value, expected=f"at most {MOST_FLOWS} flows"
            )
        if name == "fleet" and number < math.inf:
            return self.whole_gpus(number)
        return number * self.scale if name in SCALED else number

    def whole_gpus(self, gpus: float) -> float:
        """GPUs of the slice for so many of the whole service."""
        if gpus > MOST_GPUS:
            raise BadInput("a fleet cannot be so large", key="fleet", value=gpus, expected=f"at most {MOST_GPUS} GPUs")
        return float(round(gpus * self.scale))

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
        """All knobs as they are now."""
        return self.knobs.copy(), self.pools.copy(), self.retries.copy(), self.regions.copy()

    def changes(self, earlier: tuple[np.ndarray, ...]) -> list[dict[str, Any]]:
        """Which knobs differ from earlier copies of them: rows of the decision table."""
        before, pools, retries, regions = earlier
        rows = [
            self.other_change(f"{self.pool_names[p]}: {POOL_KNOBS[k]}", pools[p, k], self.pools[p, k])
            for p, k in np.argwhere(pools != self.pools)
        ]
        rows += [
            self.other_change(f"retry {RETRY_KNOBS[k]}", retries[k], self.retries[k])
            for (k,) in np.argwhere(retries != self.retries)
        ]
        rows += [
            self.other_change(f"{self.region_names[r]}: open", regions[r], self.regions[r])
            for (r,) in np.argwhere(regions != self.regions)
        ]
        for t, f, k in np.argwhere(before != self.knobs):
            rows.append(
                {
                    "knob": KNOBS[k],
                    "tier": self.tiers[t],
                    "feature": self.features[f],
                    "old": float(before[t, f, k]),
                    "new": float(self.knobs[t, f, k]),
                    "policy": self.turned_by[t, f, k] or "not set any more",
                }
            )
        return rows

    def other_change(self, name: str, old: float, new: float) -> dict[str, Any]:
        by = self.others_by.get(name, "not set any more")
        return {"knob": name, "tier": None, "feature": None, "old": float(old), "new": float(new), "policy": by}


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
