"""What the service has its clients do: how many retries they may make together, and when they do not even try."""

from collections import deque
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry
from sim.policies.target import Targeted
from sim.schema import Strict
from sim.units import Count, Fraction, Plain, Seconds, Whole

Finite = Annotated[Seconds, Field(allow_inf_nan=False)]
Time = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]


class RetryBudget(Strict):
    """All clients together may retry a share of what goes well, or of what is asked for the first time.

    A token bucket (Brooker 2022; Finagle and gRPC have the same with other figures): each success, or each first
    attempt, pays in `ratio`, a retry takes out 1, and at most `bucket` are saved up (counted at full scale). Who finds
    it empty gives up.

    Finagle's is per first attempt with a ratio of 0.2, but for its floor of 10 retries a second and that what is paid
    in expires after 10 s. gRPC's (A6) is per success with 0.1 and a bucket of 5, the half of its 10 tokens above which
    it retries, but that there each failure takes out 1, tried again or not. Envoy's bounds the retries in flight by a
    share of all requests in flight, and is neither.
    """

    steady: ClassVar[bool] = True
    kind: Literal["retry budget"] = "retry budget"
    per: Literal["success", "first attempt"] = "success"
    ratio: Annotated[Plain, Field(ge=0, le=10)] = 0.1
    bucket: Count = 10.0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_retries(budget=self.per, ratio=self.ratio, bucket=self.bucket)


class AdaptiveThrottle(Targeted):
    """Clients refuse themselves what the service is unlikely to accept (Google, Site Reliability Engineering, ch. 21).

    Over the last `window` a share max(0, (requests - k accepts) / (requests + 1)) is refused on the spot; requests are
    all that were attempted, accepts those served. In the long run the service sees k times what it can serve. It learns
    at control ticks, which should come several times in a window.
    """

    steady: ClassVar[bool] = False
    kind: Literal["adaptive throttle"] = "adaptive throttle"
    k: Annotated[Plain, Field(ge=1, le=100)] = 2.0
    window: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = 120.0
    final: bool = Field(default=True, description="whether who refuses themselves does not try again")
    _seen: deque[tuple[float, float, float]] = PrivateAttr(default_factory=deque)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self._seen.append((telemetry.now, float(telemetry.arrivals.sum()), float(telemetry.served.sum())))
        while self._seen[0][0] <= telemetry.now - self.window:
            self._seen.popleft()
        requests, accepts = (sum(tick[place] for tick in self._seen) for place in (1, 2))
        share = max(0.0, (requests - self.k * accepts) / (requests + 1.0))
        self.turn(controls, shed=share, final=float(self.final))


class Backoff(Strict):
    """How long clients pause before a retry, whatever they would do, and how often they try again at most.

    The n-th pause is at most min(cap, base 2^n), from n = 0: that ("exponential"), uniform between 0 and that ("full
    jitter"), half of that and uniform up to the other half ("equal jitter"); or uniform between base and three times
    the pause before ("decorrelated jitter"); or no pause ("none"). AWS Architecture Blog, "Exponential Backoff And
    Jitter", 2015. It spreads retries out and makes none of them fewer: against overload that lasts it is `most`, or a
    retry budget, that helps.
    """

    steady: ClassVar[bool] = True
    kind: Literal["backoff"] = "backoff"
    pause: Literal["none", "exponential", "full jitter", "equal jitter", "decorrelated jitter"] = "full jitter"
    base: Time = Field(default=1.0, description="first pause, or its bound")
    cap: Time = Field(default=60.0, description="no pause is longer")
    most: Whole | None = Field(default=None, description="retries of one wish; as many as people would where absent")

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.base > self.cap:
            raise ValueError("'base' must not be more than 'cap'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_retries(backoff=self.pause, base=self.base, cap=self.cap)
        if self.most is not None:
            controls.set_retries(most=self.most)


class RetryAfter(Strict):
    """Tells who is refused to wait so long before they try again, and up to `spread` longer, each as long by lot.

    HTTP's Retry-After (RFC 9110, 10.2.3). Without a spread those refused together come back together. Nobody hears it
    where the service does not tell its refusals, and who has left a queue is told nothing.
    """

    steady: ClassVar[bool] = True
    kind: Literal["retry after"] = "retry after"
    after: Time
    spread: Finite = 0.0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_retries(after=self.after, spread=self.spread)


class CircuitBreaker(Strict):
    """Lets nobody through for `wait` after too many calls have failed; then a few to see whether the next ones do.

    The state machine of resilience4j, with its 50 % and 60 s and 10 calls; its 100 calls are at least `least` of a
    time window here. Closed: of the requests that ended within `window`, those that brought no image are failures:
    refused, dropped, or their user left first. Where `least` have ended and a share of `failures` has failed, it opens.
    Half open: `probes` requests are granted of each tier and feature; when as many have ended, it closes where fewer
    than that share have failed, else it opens again. What is refused then does not count, so that what a queue drops
    is not seen.

    One breaker for the whole service, which learns at control ticks. What is in the queue when it opens is served. Slow
    calls count as failures only by patience.
    """

    steady: ClassVar[bool] = False
    kind: Literal["circuit breaker"] = "circuit breaker"
    failures: Annotated[Fraction, Field(gt=0)] = Field(default=0.5, description="share of failures at which it opens")
    window: Time = Field(default=60.0, description="time over which they are counted")
    least: Annotated[Count, Field(ge=1)] = Field(default=100.0, description="ended requests to judge by, at full scale")
    wait: Time = Field(default=60.0, description="time for which it is open")
    probes: Annotated[Count, Field(ge=1)] = Field(
        default=10.0, description="requests it is then tried with, full scale"
    )
    final: bool = Field(default=False, description="whether who is refused is told not to try again")
    _state: Literal["closed", "open", "half open"] = PrivateAttr(default="closed")
    _until: float = PrivateAttr(default=0.0)  # when it has been open for long enough
    _seen: deque[tuple[float, float, float]] = PrivateAttr(default_factory=deque)  # time, ended, served
    _granted: np.ndarray | None = PrivateAttr(default=None)  # probes, by tier and feature
    _inside: float | None = PrivateAttr(default=None)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        now = telemetry.now
        self.look(telemetry)
        if self._state == "closed":
            while self._seen and self._seen[0][0] <= now - self.window:
                self._seen.popleft()
            if self.ended() >= max(1.0, self.least * controls.scale) and self.failing():
                self.turn("open", now)
        elif self._state == "half open" and self.ended() >= max(1.0, self.probes * controls.scale):
            self.turn("open" if self.failing() else "closed", now)
        if self._state == "open" and now >= self._until:
            self.turn("half open", now)
        self.refuse(controls)

    def turn(self, state: Literal["closed", "open", "half open"], now: float) -> None:
        self._state, self._granted = state, None
        self._seen.clear()
        if state == "open":
            self._until = now + self.wait

    def look(self, telemetry: Telemetry) -> None:
        """Count what has ended since the tick before: what has come (half open: was granted) and is not inside."""
        inside = float(sum(pool.inside for pool in telemetry.pools.values()))
        before, self._inside = self._inside, inside
        granted = telemetry.arrivals - telemetry.refused
        came = granted if self._state == "half open" else telemetry.arrivals
        if before is not None and self._state != "open":
            self._seen.append((telemetry.now, float(came.sum()) - (inside - before), float(telemetry.served.sum())))
        if self._state == "half open":
            self._granted = granted if self._granted is None else self._granted + granted

    def ended(self) -> float:
        return sum(ended for _, ended, _ in self._seen)

    def failing(self) -> bool:
        return 1.0 - sum(served for _, _, served in self._seen) / self.ended() >= self.failures

    def refuse(self, controls: Controls) -> None:
        """Everybody where it is open; where it is half open, whoever is not among the probes."""
        if self._state == "open":
            controls.set(shed=1.0, final=float(self.final))
        elif self._state == "half open":
            for row, tier in enumerate(controls.tiers):
                for column, feature in enumerate(controls.features):
                    granted = 0.0 if self._granted is None else max(0.0, float(self._granted[row, column]))
                    left = max(0.0, self.probes - granted / controls.scale)
                    controls.set(tiers=[tier], features=[feature], ration=left)
