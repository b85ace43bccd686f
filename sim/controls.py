"""Controls, the knobs that a policy may turn, and Telemetry, all that it may see."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sim.errors import BadInput
from sim.rules import KIND, KNOBS, QUOTA, QUOTA_KINDS, SLIDING, SLIDING_SLOTS, UNLIMITED

SHARES = ("open", "shed")
LAST = 1_000_000  # a priority after every other
WHOLE = ("level", "priority", "burst", "quota")


@dataclass(frozen=True)
class PoolTelemetry:
    """One pool as its gateway sees it."""

    gpus: int
    busy: int
    queued: int
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
    signups: int
    waitlisted: int  # people on the waitlist now


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
    """The knobs of the gateway: one row a tier and feature (see sim.rules.KNOBS), and the rate of the waitlist."""

    def __init__(self, tiers: Sequence[str], features: Sequence[str], scale: float = 1.0):
        self.tiers, self.features = list(tiers), list(features)
        self.scale = scale  # a slice of the service has a slice of its queue and of its waitlist's rate
        self.knobs = np.empty((len(tiers), len(features), len(KNOBS)))
        self.signup_rate = math.inf  # people let in from the waitlist, a second
        self.turned_by = np.full(self.knobs.shape, "", dtype=object)
        self.signups_by = ""
        self.policy = ""  # whose turn it is
        self.open_all()

    def open_all(self) -> None:
        """Every knob wide open."""
        self.knobs[:] = UNLIMITED
        self.signup_rate = math.inf
        self.turned_by[:] = ""
        self.signups_by = ""

    def set(
        self, *, tiers: Iterable[str] | None = None, features: Iterable[str] | None = None, **knobs: float | str
    ) -> None:
        """Set knobs (by name, as in sim.rules.KNOBS) for these tiers and features, or for all. Raises BadInput."""
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

    def let_in(self, people_per_second: float) -> None:
        """Open the waitlist at this rate (inf: no waitlist)."""
        if not people_per_second >= 0:
            raise BadInput("a waitlist lets in at a rate of 0 or more", key="signup_rate", value=people_per_second)
        self.signup_rate, self.signups_by = people_per_second * self.scale, self.policy

    def checked(self, name: str, value: float | str) -> float:
        if name == "kind":
            if value not in QUOTA_KINDS:
                raise BadInput("unknown kind of quota", key=name, value=value, expected=", ".join(QUOTA_KINDS))
            return float(QUOTA_KINDS.index(str(value)))
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        whole = number.is_integer() or (name == "quota" and number == math.inf)
        if math.isnan(number) or number < 0 or (name in SHARES and number > 1) or (name in WHOLE and not whole):
            expected = "a number from 0 up; a share to 1; a level, a priority, a burst and a quota whole"
            raise BadInput("a knob cannot be set to that", key=name, value=value, expected=expected)
        if name in ("window", "burst") and not 0 < number < math.inf:
            raise BadInput("a knob cannot be set to that", key=name, value=value, expected="a finite number above 0")
        return number * self.scale if name == "queue" else number

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

    def changes(self, before: np.ndarray) -> list[dict[str, Any]]:
        """Which knobs differ from an earlier copy of them: rows of the decision table."""
        rows = []
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
