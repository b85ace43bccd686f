"""Loss of capacity: GPUs that fail, and GPUs that are slowed down by a power cap or by heat."""

import math
from heapq import heappop, heappush
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.chance import EXPONENTIAL, quantile
from sim.model.controls import Controls, Telemetry
from sim.model.knobs import MOST_GPUS, SLOWDOWN
from sim.model.streams import FAILURE, draw
from sim.policies.base import FAILED, Advice, Level, OfOnePool, OfPools, PositiveShare
from sim.policies.supply import full_fleet, lose_work, per_replica, set_fleet
from sim.schema import Strict
from sim.units import Fraction, Plain, Seconds, Whole

Time = Annotated[Seconds, Field(ge=1, allow_inf_nan=False)]
Celsius = Annotated[Plain, Field(ge=-50, le=200)]
Positive = Annotated[Plain, Field(gt=0)]
Exponent = Annotated[Plain, Field(ge=1, le=4)]


IS_LOST = "is lost"
Work = Literal["finishes", "is lost"]


class Failures(OfOnePool):
    """GPUs fail and are repaired, independently or several at once, like those of a server or a rack.

    A GPU works for an exponential time of mean `mtbf` and is repaired in one of mean `mttr`, so that on average a share
    mttr / (mtbf + mttr) is down, from the start on. Of the whole service, `together` neighbouring GPUs fail and return
    at one instant. The draws depend on `seed`, not on the run's seed: the same GPUs fail at the same instants in every
    run, under every playbook, whether they are in service or not. Two such policies on one pool need different seeds.

    A failure takes effect at a control tick, so `mttr` should span several. The fleet that earlier policies leave
    shrinks by the number of GPUs that are down, and the GPUs with the highest numbers go. What they run is finished. Or
    it is lost (`work: is lost`) and is done again, as `serving.lost_work` says: as many batches as run on GPUs that are
    chosen at random for each loss. A GPU that returns holds no model. A slice, and each cell, loses its part of the
    loss of the whole service, rounded to GPUs: less than half a GPU of a slice does not show.
    """

    advice = Advice(
        "faults",
        protects="nothing: it removes GPUs as breakdowns do",
        costs="capacity",
        fails="where the fleet has nothing to spare: then it can start a retry storm",
        example={"pool": "gpus", "mtbf": "20 h", "mttr": "1 h"},
    )

    takes: ClassVar[str] = FAILED
    kind: Literal["failures"] = "failures"
    mtbf: Time = Field(description="mean time between a repair and the next failure, of one GPU")
    mttr: Time = Field(description="mean time to repair")
    together: Annotated[Level, Field(le=MOST_GPUS)] = Field(default=1, description="GPUs that fail at once")
    work: Work = Field(default="finishes", description="what becomes of the work under way on a GPU that fails")
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = Field(default=1, description="seed of the failures")
    _next: list[tuple[float, int]] = PrivateAttr(default_factory=list)  # a heap: when each group changes next
    _changes: list[int] = PrivateAttr(default_factory=list)  # of each group: its draws so far
    _down: set[int] = PrivateAttr(default_factory=set)
    _lost: int = PrivateAttr(default=0)  # GPUs that have failed since the start

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen(telemetry)
        self.take_down(controls, full_fleet(controls, self.pool), telemetry.now)

    def take_down(self, controls: Controls, gpus: int, now: float) -> None:
        """Take out of service those of the pool's first `gpus` GPUs that are down now, perhaps with their work."""
        first = controls.pool_names.index(self.pool) << 32
        down = self.down(gpus, now, first, per_replica(controls, self.pool))
        if down:
            set_fleet(controls, self.pool, full_fleet(controls, self.pool) - down)
        if self.work == IS_LOST and self._lost:
            lose_work(controls, self.pool, self._lost)

    def down(self, gpus: int, now: float, first: int = 0, replica: int = 1) -> int:
        """The number of the first `gpus` GPUs that are down at `now`, which may not decrease.

        first: the pool's key. replica: neighbouring GPUs that serve together, so that all are down if one is.
        """
        for group in range(len(self._changes), math.ceil(gpus / self.together)):
            self._changes.append(1)
            if draw.direct(self.seed, FAILURE, first + group, 0) < self.mttr / (self.mtbf + self.mttr):
                self._down.add(group)
            heappush(self._next, (self.lasting(group, first), group))
        while self._next and self._next[0][0] <= now:
            at, group = heappop(self._next)
            self._down ^= {group}
            if group in self._down:
                self._lost += self.gpus_of({group}, gpus, replica) - self.gone_already(group, gpus, replica)
            heappush(self._next, (at + self.lasting(group, first), group))
        return self.gpus_of(self._down, gpus, replica)

    def gpus_of(self, groups: set[int], gpus: int, replica: int) -> int:
        """The number of the first `gpus` GPUs that are in some groups, or in a replica with one that is."""
        each = self.together
        if replica == 1:
            return sum(min(each, gpus - group * each) for group in groups if group * each < gpus)
        ends = [(group * each, min((group + 1) * each, gpus)) for group in groups if group * each < gpus]
        return replica * len({n for begin, end in ends for n in range(begin // replica, -(-end // replica))})

    def gone_already(self, group: int, gpus: int, replica: int) -> int:
        """The GPUs of a group's replicas that others of the groups which are down have taken before."""
        others = self._down - {group} if replica > 1 else set()
        return (
            self.gpus_of(others, gpus, replica)
            + self.gpus_of({group}, gpus, replica)
            - self.gpus_of(others | {group}, gpus, replica)
        )

    def lasting(self, group: int, first: int) -> float:
        """Seconds until a group fails, or is repaired."""
        u = draw.direct(self.seed, FAILURE, first + group, self._changes[group])
        self._changes[group] += 1
        return float(quantile.direct(EXPONENTIAL, self.mttr if group in self._down else self.mtbf, 0.0, u))


def drawn(clock: float, *, idle: float, alpha: float) -> float:
    """Power of a busy GPU at a share of its full clock, as a share of its full power: idle + (1 - idle) clock^alpha."""
    return idle + (1.0 - idle) * clock**alpha


def clock_under(cap: float, *, idle: float, alpha: float) -> float:
    """The clock at which a busy GPU draws a share `cap` of its full power, as a share of the full one."""
    return min(1.0, ((cap - idle) / (1.0 - idle)) ** (1.0 / alpha))


def slow_down(controls: Controls, pools: list[str] | None, clock: float, power: float) -> None:
    """Run GPUs at a share of their clock and power, unless an earlier policy has made them slower."""
    for pool in controls.pool_names if pools is None else pools:
        if pool not in controls.pool_names or controls.pools[controls.pool_names.index(pool), SLOWDOWN] * clock <= 1:
            controls.set_pool([pool], slowdown=1.0 / clock, power=power)


class Electric(Strict):
    """The power of a GPU: idle + (1 - idle) utilisation clock^alpha, as a share of its full power.

    The time of a batch is proportional to 1 / clock, as for diffusion models, which are bound by compute; a model bound
    by memory loses less. The defaults are assumed: published exponents are 2 to 3.
    """

    alpha: Exponent = Field(default=2.5, description="exponent of power over clock; assumed")
    idle: Annotated[Fraction, Field(lt=1)] = Field(default=0.1, description="share of full power when idle; assumed")


class PowerCap(OfPools, Electric):
    """GPUs may draw only a share of their full power: the clock falls until a busy GPU keeps the cap.

    The clock is ((cap - idle) / (1 - idle))^(1 / alpha) of the full one, and a batch takes longer in proportion. It
    draws `cap` of the profile's watts, which are taken to be full power. Capacity shrinks when it is needed most, so a
    cap can start a retry storm.
    """

    advice = Advice(
        "faults",
        protects="the power contract",
        costs="speed, just when it is needed",
        fails="with retries: it can start a storm",
        example={"cap": "70 %"},
    )

    kind: Literal["power cap"] = "power cap"
    cap: PositiveShare = Field(description="share of its full power that a GPU may draw")

    @model_validator(mode="after")
    def leaves_something(self) -> Self:
        if not self.cap > self.idle:
            raise ValueError("'cap' must be more than 'idle': at idle power no clock is left")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        clock = clock_under(self.cap, idle=self.idle, alpha=self.alpha)
        slow_down(controls, self.pools, clock, drawn(clock, idle=self.idle, alpha=self.alpha))


def warmed(temperature: float, steady: float, seconds: float, time_constant: float) -> float:
    """A temperature after some seconds of approaching a steady one: the solution of C dT/dt = P - (T - ambient) / R.

    steady: ambient + R P. time_constant: R C, seconds.
    """
    return steady + (temperature - steady) * math.exp(-seconds / time_constant)


class Thermal(OfOnePool, Electric):
    """GPUs heat up with load, and clock down above a temperature until they have cooled.

    The pool has one temperature, that of a mean GPU: C dT/dt = P - (T - ambient) / R, where the power P follows from
    the utilisation at the tick and the clock since the tick before. At each control tick above the temperature `above`
    the clock falls by `step`, down to `floor`; at each tick below `above` - `gap` it rises by `step`; in between it
    stays. The pool starts at the temperature of idle GPUs. Ticks should be shorter than `time_constant`, which is R C.

    700 W is the limit of an H100 SXM; GPUs are commonly reported to clock down from 83 to 90 degrees; resistance, time
    constant and steps are assumed. With the defaults a busy GPU reaches 91 degrees.
    """

    advice = Advice(
        "faults",
        protects="GPUs from overheating",
        costs="speed, after minutes of full load",
        fails="with retries: it can start a storm",
        example={"pool": "gpus"},
    )

    kind: Literal["thermal throttling"] = "thermal throttling"
    watts: Positive = Field(default=700.0, description="full power of a GPU, W")
    ambient: Celsius = Field(default=35.0, description="temperature of the air or water at the GPU, degrees Celsius")
    resistance: Positive = Field(default=0.08, description="degrees of warming per watt; assumed")
    time_constant: Time = Field(default=120.0, description="time for 63 % of a change; assumed")
    above: Celsius = Field(default=87.0, description="temperature above which the clock falls")
    gap: Positive = Field(default=5.0, description="degrees below it at which the clock rises again; assumed")
    floor: PositiveShare = Field(default=0.5, description="lowest clock, as a share of the full one; assumed")
    step: PositiveShare = Field(default=0.05, description="change of the clock per tick; assumed")
    _temperature: float = PrivateAttr(default=math.nan)
    _clock: float = PrivateAttr(default=1.0)
    _ran: float = PrivateAttr(default=1.0)  # the clock since the tick before, which another policy may have lowered
    _looked: float = PrivateAttr(default=0.0)

    @model_validator(mode="after")
    def can_cool_down(self) -> Self:
        idle = self.balance(0.0)
        if not idle < self.above - self.gap:
            raise ValueError(f"'above' less 'gap' must be more than the {idle:.3g} degrees of an idle GPU")
        return self

    def balance(self, use: float) -> float:
        """The steady temperature of GPUs at this utilisation and the clock they ran at."""
        share = self.idle + (1.0 - self.idle) * use * self._ran**self.alpha
        return self.ambient + self.resistance * self.watts * share

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        use = self.seen(telemetry).utilisation
        if math.isnan(self._temperature):
            self._temperature = self.balance(0.0)
        else:
            passed = telemetry.now - self._looked
            self._temperature = warmed(self._temperature, self.balance(use), passed, self.time_constant)
        self._looked = telemetry.now
        if self._temperature > self.above:
            self._clock = max(self.floor, round(self._clock - self.step, 9))
        elif self._temperature < self.above - self.gap:
            self._clock = min(1.0, round(self._clock + self.step, 9))
        if self._clock < 1:
            slow_down(controls, [self.pool], self._clock, drawn(self._clock, idle=self.idle, alpha=self.alpha))
        self._ran = 1.0 / float(controls.pools[controls.pool_names.index(self.pool), SLOWDOWN])
