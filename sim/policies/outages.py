"""What a rack, a zone, a bad release or a vendor takes away: outages, slowdowns and spot GPUs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, Telemetry
from sim.model.knobs import MOST_GPUS
from sim.policies.base import FAILED, TAKEN_BACK, Advice, Delay, Level, OfOnePool, OfPools, PositiveShare
from sim.policies.faults import IS_LOST, Failures, Time, Work, slow_down
from sim.policies.supply import full_fleet, in_replicas, lose_work, set_fleet
from sim.units import Plain, Whole


class Outage(OfPools):
    """A share of the GPUs is out of service while the step is in force: its `from` and `until` are the outage's.

    They fail and return at the control ticks, and a GPU that returns holds no model. What they run is finished, or is
    lost at once (`work: is lost`) and is done again, as `serving.lost_work` says. A share is rounded to GPUs, in a
    slice to the GPUs of the slice, so that a large fleet in a small slice loses more or less than its share; all of it
    is all of it. It acts on what earlier policies leave, and what was lost counts as failed GPUs in costs.
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
    work: Work = Field(default="finishes", description="what becomes of the work under way on GPUs that are lost")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        for pool in controls.pool_names if self.pools is None else self.pools:
            telemetry.pool(pool)
            gpus = full_fleet(controls, pool)
            lost = in_replicas(controls, pool, round(self.share * gpus))
            set_fleet(controls, pool, gpus - lost)
            if self.work == IS_LOST:
                lose_work(controls, pool, lost)


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


class SpotGpus(OfOnePool):
    """GPUs are rented on the spot market, and their vendor takes them back with a short notice.

    From the notice on a GPU takes nothing new. What it still runs when the notice is over is stopped and lost, and is
    done again, as `serving.lost_work` says. It comes back, or another one does, after an exponential time of mean
    `returns`. Draws, ticks and slices are as for `failures`: a notice is given at a control tick, and lasts exactly
    `notice`. GPUs that are taken back are not paid.

    Published notices are 2 min (AWS) and 30 s (Google Cloud, Azure). How often GPUs are taken back is not published.
    """

    advice = Advice(
        "faults",
        protects="nothing: it takes GPUs back as vendors do",
        costs="capacity, and what was under way",
        fails="where batches are longer than the notice, and where many are taken back together",
        example={"pool": "gpus", "rate": 0.05},
    )

    takes: ClassVar[str] = TAKEN_BACK
    kind: Literal["spot"] = "spot"
    rate: Annotated[Plain, Field(gt=0, le=60)] = Field(description="how often one GPU is taken back, per hour")
    notice: Delay = Field(default=120.0, description="time from the notice until the GPU is gone")
    returns: Time = Field(default=600.0, description="mean time until it, or another one, is in service again; assumed")
    share: PositiveShare = Field(default=1.0, description="share of the GPUs that are on the spot market")
    together: Annotated[Level, Field(le=MOST_GPUS)] = Field(default=1, description="GPUs that are taken back at once")
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = Field(default=1, description="seed of the draws")
    _machines: Failures | None = PrivateAttr(default=None)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen(telemetry)
        if self._machines is None:
            times = {"mtbf": f"{3600.0 / self.rate:.6f} s", "mttr": f"{self.returns:.6f} s"}
            same = {"pool": self.pool, "together": self.together, "seed": self.seed, "work": IS_LOST}
            self._machines = Failures.model_validate({**same, **times})
        before = self._machines._lost
        self._machines.take_down(controls, round(self.share * full_fleet(controls, self.pool)), telemetry.now)
        if self._machines._lost > before:
            controls.set_pool([self.pool], notice=self.notice)
