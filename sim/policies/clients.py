"""Rules for clients: how often they retry, how long they pause, and when they reject a request themselves."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, Telemetry
from sim.policies.base import (
    Advice,
    AtLeastOne,
    Delay,
    Duration,
    NamedPolicy,
    OfService,
    PositiveShare,
    Recent,
    Targeted,
)
from sim.units import Count, Plain, Whole


class RetryBudget(NamedPolicy):
    """All clients together may retry a share of the requests that succeed, or of first attempts.

    A token bucket (Brooker 2022; Finagle and gRPC have the same with other figures): each success, or each first
    attempt, pays in `ratio`, a retry takes out 1, and at most `bucket` can be saved up (counted at full scale). A user
    who finds it empty gives up.

    Finagle's is per first attempt with a ratio of 0.2; besides, it always allows 10 retries per second, and its tokens
    expire after 10 s. gRPC's (A6) is per success with 0.1 and a bucket of 5, the half of its 10 tokens above which it
    retries; but there each failure takes out 1, whether it is retried or not. Envoy's, which bounds the retries in
    flight by a share of all requests in flight, is neither.
    """

    steady = True
    advice = Advice(
        "clients",
        protects="against retry storms, whatever their cause",
        costs="retries that would have helped in a real outage",
        fails="against anything but retries: first attempts alone may be too many",
    )

    kind: Literal["retry budget"] = "retry budget"
    per: Literal["success", "first attempt"] = "success"
    ratio: Annotated[Plain, Field(ge=0, le=10)] = 0.1
    bucket: Annotated[Count, OfService("retries", whole=False)] = 10.0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_retries(budget=self.per, ratio=self.ratio, bucket=self.bucket)


class AdaptiveThrottle(Targeted):
    """Clients reject requests that the service is unlikely to accept (Google, Site Reliability Engineering, ch. 21).

    A share max(0, (requests - k accepts) / (requests + 1)), counted over the last `window`, is rejected by the client;
    requests are all attempts, accepts those served. In the long run the service sees k times its capacity. The policy
    learns at control ticks, several of which should fit into a window.
    """

    advice = Advice(
        "clients",
        protects="a service whose clients reject their own requests",
        costs="a few successes even in good times, at k close to 1",
        fails="per person: it needs many requests to judge by",
        example={"k": 1.1},
    )

    kind: Literal["adaptive throttle"] = "adaptive throttle"
    k: Annotated[Plain, Field(ge=1, le=100)] = 2.0
    window: Duration = 120.0
    final: bool = Field(default=True, description="whether users whose client rejects a request do not try again")
    _seen: Recent = PrivateAttr(default_factory=Recent)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self._seen.add(telemetry.now, float(telemetry.arrivals.sum()), float(telemetry.served.sum()))
        self._seen.forget(telemetry.now - self.window)
        requests, accepts = self._seen.sums()
        share = max(0.0, (requests - self.k * accepts) / (requests + 1.0))
        self.set(controls, shed=share, final=float(self.final))


class Backoff(NamedPolicy):
    """Sets how long clients pause before a retry, and how often they retry at most.

    The n-th pause, from n = 0, has the bound b = min(cap, base 2^n). It is b ("exponential"), uniform between 0 and b
    ("full jitter"), or uniform between b / 2 and b ("equal jitter"); or it is uniform between base and three times the
    pause before ("decorrelated jitter"); or there is no pause ("none"). AWS Architecture Blog, "Exponential Backoff And
    Jitter", 2015. Backoff spreads retries out but does not reduce their number: against lasting overload only `most` or
    a retry budget helps.
    """

    steady = True
    advice = Advice(
        "clients",
        protects="against retries that come together",
        costs="users who come back later than they could",
        fails="in long overload: each wish still makes all its attempts",
        example={"pause": "full jitter", "base": "30 s", "cap": "10 min"},
    )

    kind: Literal["backoff"] = "backoff"
    pause: Literal["none", "exponential", "full jitter", "equal jitter", "decorrelated jitter"] = "full jitter"
    base: Duration = Field(default=1.0, description="first pause, or its bound")
    cap: Duration = Field(default=60.0, description="longest pause")
    most: Whole | None = Field(default=None, description="most retries of one wish; absent: the user's own")

    not_descending = ("base", "cap")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_retries(backoff=self.pause, base=self.base, cap=self.cap)
        if self.most is not None:
            controls.set_retries(most=self.most)


class RetryAfter(NamedPolicy):
    """Asks refused users to wait for `after` before they retry, and for a random time of up to `spread` in addition.

    HTTP's Retry-After (RFC 9110, 10.2.3). Without a spread, users refused together come back together. It has no effect
    where the service does not announce refusals, nor on users who have left a queue.
    """

    steady = True
    advice = Advice(
        "clients",
        protects="the minutes after a refusal",
        costs="users who leave instead",
        fails="without a spread, when all come back at the same instant",
        example={"after": "5 min", "spread": "5 min"},
    )

    kind: Literal["retry after"] = "retry after"
    after: Duration
    spread: Delay = 0.0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_retries(after=self.after, spread=self.spread)


class CircuitBreaker(NamedPolicy):
    """Lets nobody through for `wait` after too many calls have failed; then a few, to see whether calls succeed again.

    The state machine of resilience4j, with its 50 %, 60 s and 10 calls; its window of 100 calls is a window of time
    here, with at least `least` calls. Closed: of the requests that ended within `window`, those without an image are
    failures: they were refused or dropped, or their user left first. When `least` have ended and a share `failures` of
    them has failed, the breaker opens. Half open: `probes` requests of each tier and feature are granted; when that
    number has ended, the breaker closes if a smaller share has failed, and opens again otherwise. Refusals do not count
    in that state, so requests that a queue drops are not seen.

    There is one breaker for the whole service, and it learns at control ticks. Requests that are in the queue when it
    opens are served. Slow calls count as failures only if their user loses patience.
    """

    advice = Advice(
        "clients",
        protects="a failing service, which gets a pause",
        costs="everybody, including users who would have been served",
        fails="in partial overload: it is all or nothing",
    )

    kind: Literal["circuit breaker"] = "circuit breaker"
    failures: PositiveShare = Field(default=0.5, description="share of failures at which it opens")
    window: Duration = Field(default=60.0, description="time over which failures are counted")
    least: AtLeastOne = Field(default=100.0, description="fewest ended requests to judge by, at full scale")
    wait: Duration = Field(default=60.0, description="time for which it stays open")
    probes: AtLeastOne = Field(default=10.0, description="requests granted while half open, at full scale")
    final: bool = Field(default=False, description="whether refused users are asked not to try again")
    _state: Literal["closed", "open", "half open"] = PrivateAttr(default="closed")
    _until: float = PrivateAttr(default=0.0)  # when it becomes half open
    _seen: Recent = PrivateAttr(default_factory=Recent)  # requests that ended, and that were served
    _granted: np.ndarray | None = PrivateAttr(default=None)  # probes, by tier and feature
    _inside: float | None = PrivateAttr(default=None)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        now = telemetry.now
        self.look(telemetry)
        if self._state == "closed":
            self._seen.forget(now - self.window)
            if self.ended() >= max(1.0, self.least * controls.scale) and self.failing():
                self.enter("open", now)
        elif self._state == "half open" and self.ended() >= max(1.0, self.probes * controls.scale):
            self.enter("open" if self.failing() else "closed", now)
        if self._state == "open" and now >= self._until:
            self.enter("half open", now)
        self.refuse(controls)

    def enter(self, state: Literal["closed", "open", "half open"], now: float) -> None:
        self._state, self._granted = state, None
        self._seen = Recent()
        if state == "open":
            self._until = now + self.wait

    def look(self, telemetry: Telemetry) -> None:
        """Count the requests that ended since the tick before: those that came (or were granted) and are not inside."""
        inside = float(sum(pool.inside for pool in telemetry.pools.values()))
        before, self._inside = self._inside, inside
        granted = telemetry.arrivals - telemetry.refused
        came = granted if self._state == "half open" else telemetry.arrivals
        if before is not None and self._state != "open":
            self._seen.add(telemetry.now, float(came.sum()) - (inside - before), float(telemetry.served.sum()))
        if self._state == "half open":
            self._granted = granted if self._granted is None else self._granted + granted

    def ended(self) -> float:
        return self._seen.sums()[0]

    def failing(self) -> bool:
        ended, served = self._seen.sums()
        return 1.0 - served / ended >= self.failures

    def refuse(self, controls: Controls) -> None:
        """Refuse everything while open; while half open, everything but the probes."""
        if self._state == "open":
            controls.set(shed=1.0, final=float(self.final))
        elif self._state == "half open":
            for row, tier in enumerate(controls.tiers):
                for column, feature in enumerate(controls.features):
                    granted = 0.0 if self._granted is None else max(0.0, float(self._granted[row, column]))
                    left = max(0.0, self.probes - granted / controls.scale)
                    controls.set(tiers=[tier], features=[feature], ration=left)
