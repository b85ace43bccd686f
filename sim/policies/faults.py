"""What takes capacity away: GPUs that fail, and GPUs that are slowed down by a power cap or by heat."""

import math
from heapq import heappop, heappush
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.chance import EXPONENTIAL, quantile
from sim.model.controls import Controls, Telemetry
from sim.model.knobs import SLOWDOWN
from sim.model.streams import FAILURE, draw
from sim.policies.queue import OfPools
from sim.policies.scaling import utilisation
from sim.policies.supply import OfAFleet, Ones, full_fleet, set_fleet
from sim.schema import Strict
from sim.units import Fraction, Plain, Seconds

Time = Annotated[Seconds, Field(ge=1, allow_inf_nan=False)]
Share = Annotated[Fraction, Field(gt=0)]
Celsius = Annotated[Plain, Field(ge=-50, le=200)]
AboveZero = Annotated[Plain, Field(gt=0)]
Exponent = Annotated[Plain, Field(ge=1, le=4)]


class Failures(OfAFleet):
    """GPUs fail and are repaired, each for itself or several at once, as those of a server or a rack.

    A GPU works for an exponential time of mean `mtbf` and is repaired in one of mean `mttr`, so that a share mttr /
    (mtbf + mttr) is down on average, from the start on. Of the whole service, `together` GPUs in a row fail and come
    back at one instant. Chance is named by `seed`, not by the run's: the same GPUs fail at the same instants in every
    run, under every playbook, whether they are in service or not. Two of these on one pool should have two seeds.

    What has failed is noticed at a control tick, so mttr should be several of these. The fleet that the policies before
    it leave shrinks by the number of those down; a batch that is running is finished, and the last in number go. A GPU
    that comes back holds no model. A slice, and each cell, loses its part of what the whole service loses, rounded to
    GPUs: less than half a GPU of a slice is not seen in it.
    """

    kind: Literal["failures"] = "failures"
    mtbf: Time = Field(description="mean time between a repair and the next failure, of one GPU")
    mttr: Time = Field(description="mean time to repair")
    together: Ones = Field(default=1, description="GPUs that fail at once")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(default=1, description="names the draws")
    _next: list[tuple[float, int]] = PrivateAttr(default_factory=list)  # a heap: when each group changes next
    _changes: list[int] = PrivateAttr(default_factory=list)  # of each group: its draws so far
    _down: set[int] = PrivateAttr(default_factory=set)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen(telemetry)
        gpus = full_fleet(controls, self.pool)
        first = controls.pool_names.index(self.pool) << 32
        down = self.down(gpus, telemetry.now, first)
        if down:
            set_fleet(controls, self.pool, gpus - down)

    def down(self, gpus: int, now: float, first: int = 0) -> int:
        """How many of the first `gpus` GPUs are down at `now`; asked at ascending instants. first: names the pool."""
        for group in range(len(self._changes), math.ceil(gpus / self.together)):
            self._changes.append(1)
            if draw(self.seed, FAILURE, first + group, 0) < self.mttr / (self.mtbf + self.mttr):
                self._down.add(group)
            heappush(self._next, (self.lasting(group, first), group))
        while self._next and self._next[0][0] <= now:
            at, group = heappop(self._next)
            self._down ^= {group}
            heappush(self._next, (at + self.lasting(group, first), group))
        each = self.together
        return sum(min(each, gpus - group * each) for group in self._down if group * each < gpus)

    def lasting(self, group: int, first: int) -> float:
        """Seconds until the next change of a group, which is up or down now."""
        u = draw(self.seed, FAILURE, first + group, self._changes[group])
        self._changes[group] += 1
        return float(quantile(EXPONENTIAL, self.mttr if group in self._down else self.mtbf, 0.0, u))


def drawn(clock: float, *, idle: float, alpha: float) -> float:
    """Power of a busy GPU at a share of its full clock, as a share of its full power: idle + (1 - idle) clock^alpha."""
    return idle + (1.0 - idle) * clock**alpha


def clock_under(cap: float, *, idle: float, alpha: float) -> float:
    """The clock at which a busy GPU draws a share `cap` of its full power, as a share of the full one."""
    return min(1.0, ((cap - idle) / (1.0 - idle)) ** (1.0 / alpha))


def slow_down(controls: Controls, pools: list[str] | None, clock: float, power: float) -> None:
    """Have GPUs run at this share of their clock and power, unless a policy before has made them slower."""
    for pool in controls.pool_names if pools is None else pools:
        if pool not in controls.pool_names or controls.pools[controls.pool_names.index(pool), SLOWDOWN] * clock <= 1:
            controls.set_pool([pool], slowdown=1.0 / clock, power=power)


class Electric(Strict):
    """What a GPU draws: idle + (1 - idle) utilisation clock^alpha, as a share of its full power.

    Time of a batch goes with 1 / clock, as that of diffusion models does, which computing bounds; one that memory
    bounds loses less. The defaults are assumed: published exponents are 2 to 3.
    """

    alpha: Exponent = Field(default=2.5, description="exponent of power over clock; assumed")
    idle: Annotated[Fraction, Field(lt=1)] = Field(default=0.1, description="share of full power when idle; assumed")


class PowerCap(OfPools, Electric):
    """GPUs may draw a share of their full power: their clock falls until a busy one does.

    The clock is ((cap - idle) / (1 - idle))^(1 / alpha) of the full one, and a batch takes as much longer. It draws
    `cap` of the profile's watts, which are taken to be those of full power. Capacity shrinks when it is needed most, so
    a cap can be what begins a retry storm.
    """

    kind: Literal["power cap"] = "power cap"
    cap: Share = Field(description="share of its full power that a GPU may draw")

    @model_validator(mode="after")
    def leaves_something(self) -> Self:
        if not self.cap > self.idle:
            raise ValueError("'cap' must be more than 'idle': at idle power no clock is left")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        clock = clock_under(self.cap, idle=self.idle, alpha=self.alpha)
        slow_down(controls, self.pools, clock, drawn(clock, idle=self.idle, alpha=self.alpha))


def warmed(temperature: float, steady: float, seconds: float, time_constant: float) -> float:
    """A temperature after some seconds on its way to a steady one: C dT/dt = P - (T - ambient) / R, solved.

    steady: ambient + R P. time_constant: R C, seconds.
    """
    return steady + (temperature - steady) * math.exp(-seconds / time_constant)


class Thermal(OfAFleet, Electric):
    """GPUs that heat up with load, and clock down above a temperature until they have cooled.

    The pool has one temperature, that of a mean GPU: C dT/dt = P - (T - ambient) / R, with the power P of the
    utilisation seen at the tick and of the clock since the tick before. At each control tick at which it is `above` the
    clock falls by `step`, down to `floor`; at each at which it is `gap` cooler the clock rises by as much; in between
    it stays. It begins as hot as idle GPUs are. Ticks should be shorter than `time_constant`, which is R C.

    700 W is what an H100 SXM may draw; that GPUs clock down from 83 to 90 degrees on is commonly reported; resistance,
    time constant and steps are assumed. With the defaults a busy GPU gets 91 degrees hot.
    """

    kind: Literal["thermal throttling"] = "thermal throttling"
    watts: AboveZero = Field(default=700.0, description="full power of a GPU, W")
    ambient: Celsius = Field(default=35.0, description="temperature of the air or water at the GPU, degrees Celsius")
    resistance: AboveZero = Field(default=0.08, description="degrees a GPU is warmer for each watt; assumed")
    time_constant: Time = Field(default=120.0, description="time in which 63 % of a change is made; assumed")
    above: Celsius = Field(default=87.0, description="temperature above which the clock falls")
    gap: AboveZero = Field(default=5.0, description="degrees below it at which the clock rises again; assumed")
    floor: Share = Field(default=0.5, description="lowest clock, as a share of the full one; assumed")
    step: Share = Field(default=0.05, description="what the clock falls or rises by at a tick; assumed")
    _temperature: float = PrivateAttr(default=math.nan)
    _clock: float = PrivateAttr(default=1.0)
    _ran: float = PrivateAttr(default=1.0)  # the clock since the tick before: a policy before may have set a lower one
    _looked: float = PrivateAttr(default=0.0)

    @model_validator(mode="after")
    def can_cool_down(self) -> Self:
        idle = self.balance(0.0)
        if not idle < self.above - self.gap:
            raise ValueError(f"'above' less 'gap' must be more than the {idle:.3g} degrees of an idle GPU")
        return self

    def balance(self, use: float) -> float:
        """The temperature that GPUs of this utilisation reach in the end at the clock they ran at."""
        share = self.idle + (1.0 - self.idle) * use * self._ran**self.alpha
        return self.ambient + self.resistance * self.watts * share

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        use = utilisation(self.seen(telemetry))
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
