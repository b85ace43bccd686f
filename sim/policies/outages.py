"""An outage and a slowdown with dates of their own: what a rack, a zone or a bad release takes away."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sim.model.controls import Controls, Telemetry
from sim.policies.base import FAILED, Advice, OfPools, PositiveShare
from sim.policies.faults import slow_down
from sim.policies.supply import full_fleet, set_fleet
from sim.units import Plain


class Outage(OfPools):
    """A share of the GPUs is out of service while the step is in force: its `from` and `until` are the outage's.

    They fail and return at the control ticks. A running batch is finished, and a GPU that returns holds no model. A
    share is rounded to GPUs, in a slice to the GPUs of the slice, so that a large fleet in a small slice loses more or
    less than its share; all of it is all of it. It acts on what earlier policies leave, and what was lost counts as
    failed GPUs in costs.
    """

    advice = Advice(
        "faults",
        protects="nothing: it shows what the loss of a rack or a zone does",
        costs="capacity, for as long as it lasts",
        fails="where the fleet has nothing to spare: then it can start a retry storm",
        example={"share": "50 %"},
    )

    takes: ClassVar[str] = FAILED
    kind: Literal["outage"] = "outage"
    share: PositiveShare = Field(default=1.0, description="share of the GPUs that are lost")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        for pool in controls.pool_names if self.pools is None else self.pools:
            telemetry.pool(pool)
            gpus = full_fleet(controls, pool)
            set_fleet(controls, pool, gpus - round(self.share * gpus))


class Slowdown(OfPools):
    """Batches take longer while the step is in force: a bad release, a slow disk, a neighbour on the same machine.

    GPUs draw their full power meanwhile. Of several slowdowns (power caps, heat) the largest counts.
    """

    advice = Advice(
        "faults",
        protects="nothing: it shows what slower GPUs do",
        costs="speed, for as long as it lasts",
        fails="with retries: it can start a storm",
        example={"times": 1.5},
    )

    kind: Literal["slowdown"] = "slowdown"
    times: Annotated[Plain, Field(gt=1)] = Field(description="how many times as long a batch takes")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        for pool in self.pools or ():
            telemetry.pool(pool)
        slow_down(controls, self.pools, 1.0 / self.times, 1.0)
