"""What one user may use: requests per time (GCRA), requests in a window (quota), requests at once (concurrency)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.model.controls import Controls, Telemetry
from sim.model.knobs import SLIDING_SLOTS
from sim.policies.target import Targeted
from sim.units import Count, Rate, Seconds, Whole


class RateLimit(Targeted):
    """At most `burst` requests at once, and `rate` in the long run, for each user.

    The generic cell rate algorithm in the form of throttled/throttled: emission interval 1/rate, tolerance
    (burst - 1)/rate. The same as a token bucket of depth `burst` filled at `rate`.
    """

    kind: Literal["rate limit"] = "rate limit"
    rate: Rate
    burst: Annotated[Whole, Field(ge=1)] = 1

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, rate=self.rate, burst=self.burst)


class Quota(Targeted):
    """At most `requests` in each `window`, for each user.

    The window runs by the calendar (it resets at midnight UTC), rolls from the first use, slides exactly, or slides by
    the counter that takes the window before as spread evenly.
    """

    kind: Literal["quota"] = "quota"
    requests: Whole
    window: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = 86400.0
    runs: Literal["calendar", "rolling", "sliding", "sliding counter"] = "calendar"

    @model_validator(mode="after")
    def can_be_remembered(self) -> Self:
        if self.runs == "sliding" and self.requests > SLIDING_SLOTS:
            raise ValueError(f"a sliding quota remembers at most {SLIDING_SLOTS} uses; 'sliding counter' any number")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, quota=self.requests, window=self.window, kind=self.runs)


class PoolLimit(Targeted):
    """At most so many requests in the pool, waiting or being served (counted at full scale); more are refused."""

    kind: Literal["limit"] = "limit"
    requests: Count

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, limit=self.requests)


class Concurrency(Targeted):
    """At most so many requests of one user waiting or being served at once."""

    kind: Literal["concurrency"] = "concurrency"
    requests: Whole = 1

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, concurrency=self.requests)
