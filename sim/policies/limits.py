"""Limits on one user (rate, quota, requests at once) and on one pool (requests inside)."""

from typing import Literal, Self

from pydantic import model_validator

from sim.model.controls import Controls, Telemetry
from sim.model.knobs import SLIDING_SLOTS
from sim.policies.base import Advice, Bound, Duration, Level, Targeted
from sim.units import Rate, Whole


class RateLimit(Targeted):
    """At most `burst` requests at once, and `rate` in the long run, for each user.

    The generic cell rate algorithm as in throttled/throttled, with an emission interval of 1/rate and a tolerance of
    (burst - 1)/rate. It equals a token bucket of depth `burst` that is filled at `rate`.
    """

    steady = True
    advice = Advice(
        "limits",
        protects="users from each other",
        costs="the busiest users",
        fails="to bound the total: a million newcomers have a million bursts",
        example={"rate": "1 per 10 min"},
    )

    kind: Literal["rate limit"] = "rate limit"
    rate: Rate
    burst: Level = 1

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, rate=self.rate, burst=self.burst)


class Quota(Targeted):
    """At most `requests` in each `window`, for each user.

    The window follows the calendar (it resets at midnight UTC), rolls from the first use, slides exactly, or slides by
    a counter that assumes the uses of the window before were spread evenly.
    """

    steady = True
    advice = Advice(
        "limits",
        protects="cost, and the service from heavy users",
        costs="heavy users, on good days too",
        fails="in the first hours, until users have spent their quota; at midnight, when quotas reset",
        example={"requests": 1},
    )

    kind: Literal["quota"] = "quota"
    requests: Whole
    window: Duration = 86400.0
    runs: Literal["calendar", "rolling", "sliding", "sliding counter"] = "calendar"

    @model_validator(mode="after")
    def can_be_remembered(self) -> Self:
        if self.runs == "sliding" and self.requests > SLIDING_SLOTS:
            raise ValueError(f"a sliding quota remembers at most {SLIDING_SLOTS} uses; 'sliding counter' any number")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, quota=self.requests, window=self.window, kind=self.runs)


class Concurrency(Targeted):
    """At most `requests` of one user waiting or being served at once."""

    steady = True
    advice = Advice(
        "limits",
        protects="the queue from scripts",
        costs="users who ask for several images at once",
        fails="where everybody asks for one image",
    )

    kind: Literal["concurrency"] = "concurrency"
    requests: Whole = 1

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, concurrency=self.requests)


class PoolLimit(Targeted):
    """At most `requests` in the pool, waiting or being served (counted at full scale); further ones are refused."""

    steady = True
    advice = Advice(
        "limits",
        protects="latency, by bounding what is inside a pool",
        costs="refusals during a burst",
        fails="where the limit is wrong: too low leaves GPUs idle, too high protects nothing",
        example={"requests": 200},
        keeps_goodput=True,
    )

    kind: Literal["limit"] = "limit"
    requests: Bound

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, limit=self.requests)
