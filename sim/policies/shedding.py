"""What the service takes on at all: bounds on the queue and on the expected wait, and shedding at random."""

from typing import Literal

from pydantic import Field

from sim.model.controls import Controls, Telemetry
from sim.policies.target import Targeted
from sim.units import Count, Fraction, Seconds


class QueueBound(Targeted):
    """Refuses while so many requests wait in the pool (counted at full scale)."""

    kind: Literal["queue bound"] = "queue bound"
    requests: Count

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, queue=self.requests)


class WaitBound(Targeted):
    """Refuses a request whose wait, from the work queued before it, is expected to be longer than this."""

    kind: Literal["wait bound"] = "wait bound"
    longest: Seconds

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, wait=self.longest)


class Shed(Targeted):
    """Refuses a share of requests at random."""

    kind: Literal["shed"] = "shed"
    share: Fraction
    final: bool = Field(default=False, description="whether they are told not to try again")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, shed=self.share, final=float(self.final))
