"""What the service has its clients do: how many retries they may make together, and when they do not even try."""

from collections import deque
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr

from sim.controls import Controls, Telemetry
from sim.policies.target import Targeted
from sim.schema import Strict
from sim.units import Count, Plain, Seconds


class RetryBudget(Strict):
    """All clients together may retry a share of what goes well, or of what is asked for the first time.

    A token bucket (Brooker 2022; Finagle and gRPC have the same with other figures): each success, or each first
    attempt, pays in `ratio`, a retry takes out 1, and at most `bucket` are saved up (counted at full scale). Who finds
    it empty gives up.
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
