"""Limits on the requests in a pool that find themselves, from latency alone: AIMD, Vegas, Gradient2 and Envoy's.

Each has its rule beside it, a function of what it has learnt so far and of one window's latency and requests inside.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.policies.brownout import counted
from sim.policies.target import Targeted
from sim.units import Count, Fraction, Plain, Seconds, Whole

Finite = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
Limit = Annotated[Count, Field(ge=1, allow_inf_nan=False)]
Ones = Annotated[Whole, Field(ge=1)]
WARM_UP = 10  # windows of which Gradient2's long latency is the plain mean at first
PATIENCE = 5  # windows at its least limit after which Envoy's controller measures its least latency anew


@dataclass(frozen=True)
class Learnt:
    """What an algorithm knows after some windows, and the bounds that its limit is kept in."""

    limit: float  # requests in the pool, of the whole service
    baseline: float = math.nan  # latency that it compares with, seconds
    count: int = 0  # windows: since Vegas probed, in Gradient2's warm-up, at Envoy's least limit
    total: float = 0.0  # summed latency of Gradient2's warm-up
    least: float = 1.0
    most: float = 1000.0

    def bounded(self, limit: float) -> float:
        return max(self.least, min(self.most, limit))


def aimd(
    learnt: Learnt, rtt: float, in_flight: float, dropped: bool = False, *, timeout: float = 5.0, backoff: float = 0.9
) -> Learnt:
    """AIMDLimit of Netflix/concurrency-limits (78a74b9), with its constants.

    A drop or a latency above the timeout multiplies the limit by `backoff`, rounded down; otherwise it grows by one if
    at least half of it is in use.
    """
    grown = learnt.limit + 1 if 2 * in_flight >= learnt.limit else learnt.limit
    limit = math.floor(learnt.limit * backoff) if dropped or rtt > timeout else grown
    return replace(learnt, limit=learnt.bounded(limit))


def vegas(learnt: Learnt, rtt: float, in_flight: float, dropped: bool = False, *, probe: float = 30.0) -> Learnt:
    """VegasLimit of Netflix/concurrency-limits (78a74b9), with its constants.

    The queue is taken to be limit (1 - baseline / rtt); the baseline is the least latency seen since the last probe.
    With g = log10(limit), whole and 1 at least: a queue up to g adds 6 g, one below 3 g adds g, one above 6 g takes off
    g. Every 0.75 `probe` limit windows the baseline is what is measured just then; the original draws that factor from
    0.5 to 1, and this is its middle.
    """
    learnt = replace(learnt, count=learnt.count + 1)
    probes = learnt.count >= 0.75 * probe * learnt.limit
    if probes or not rtt >= learnt.baseline:  # also where there is none yet
        return replace(learnt, baseline=rtt, count=0 if probes else learnt.count)
    limit, g = learnt.limit, max(1, len(str(int(learnt.limit))) - 1)  # log10, exactly
    queue = math.ceil(limit * (1 - learnt.baseline / rtt) - 1e-9)  # five and a rounding error are five
    if not dropped and 2 * in_flight < limit:
        return learnt
    if dropped or queue > 6 * g:
        limit -= g
    elif queue < 3 * g:
        limit += 6 * g if queue <= g else g
    return replace(learnt, limit=learnt.bounded(limit))


def gradient2(
    learnt: Learnt,
    rtt: float,
    in_flight: float,
    dropped: bool = False,
    *,
    smoothing: float = 0.2,
    queue: float = 4.0,
    long: int = 600,
    tolerance: float = 1.5,
) -> Learnt:
    """Gradient2Limit of Netflix/concurrency-limits (78a74b9), with its constants; it does not look at drops.

    The limit is multiplied by tolerance baseline / rtt, 0.5 to 1, and `queue` is added; a share `smoothing` of the
    change is made, and none where less than half the limit is in use. The baseline is a moving average over `long`
    windows (the plain mean of the first ten); it shrinks by 5 % a window while it is over twice the latency.
    """
    if learnt.count < WARM_UP:
        learnt = replace(learnt, count=learnt.count + 1, total=learnt.total + rtt)
        usual = learnt.total / learnt.count
    else:
        usual = learnt.baseline + (rtt - learnt.baseline) * 2 / (long + 1)
    learnt = replace(learnt, baseline=usual * 0.95 if usual / rtt > 2 else usual)
    if in_flight < learnt.limit / 2:
        return learnt
    gradient = min(1.0, max(0.5, tolerance * usual / rtt))
    wanted = (1 - smoothing) * learnt.limit + smoothing * (learnt.limit * gradient + queue)
    return replace(learnt, limit=learnt.bounded(wanted))


def envoy(learnt: Learnt, rtt: float, in_flight: float, dropped: bool = False, *, buffer: float = 0.25) -> Learnt:
    """GradientController of envoyproxy/envoy (gradient_controller.cc, 054694f), with its constants.

    The limit is multiplied by (1 + buffer) baseline / rtt, 0.5 to 2; its square root is added, for bursts; the result
    is rounded down. The baseline is the least latency, measured beforehand. It looks neither at drops nor at how much
    of the limit is in use: an idle service has the highest limit.
    """
    grown = learnt.limit * min(2.0, max(0.5, (1 + buffer) * learnt.baseline / rtt))
    limit = learnt.bounded(math.floor(grown + math.sqrt(grown)))
    return replace(learnt, limit=limit, count=learnt.count + 1 if limit == learnt.limit == learnt.least else 0)


@dataclass
class Window:
    """What was seen at the ticks since `began`."""

    began: float
    served: float = 0.0
    latency: float = 0.0  # summed, seconds
    in_flight: float = 0.0  # the most at a tick, of the whole service


class Adaptive(Targeted):
    """What the adaptive limits have in common: one pool, and windows of which each gives one mean latency.

    As with Netflix's WindowedLimit a rule is given the mean latency of a window, and the most that was inside; here it
    was inside at a tick, and latency is that of images somebody got. A pool that everybody leaves unserved teaches
    nothing, so the limit should start low enough for people's patience.
    """

    steady: ClassVar[bool] = False
    at_start: ClassVar[float] = 20.0
    at_most: ClassVar[float] = 200.0

    pool: str = Field(description="pool whose latency it watches; name the features it serves where there are others")
    samples: Ones = Field(default=10, description="images served before it decides; Netflix's WindowedLimit has 10 too")
    window: Finite = Field(default=30.0, description="least time before it decides: ten images; Netflix's is ten calls")
    start: Limit | None = Field(default=None, description="limit at the start: the original's, or the GPUs if more")
    least: Limit = Field(default=20.0, description="lowest limit, the original's")
    most: Limit | None = Field(default=None, description="highest limit: the original's, or ten times the GPUs if more")
    _learnt: Learnt = PrivateAttr(default_factory=lambda: Learnt(math.nan))
    _window: Window | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def in_order(self) -> Self:
        start = self.least if self.start is None else self.start
        if not self.least <= start <= (math.inf if self.most is None else self.most):
            raise ValueError("'least', 'start' and 'most' must be in this order")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self.pool not in telemetry.pools:
            known = ", ".join(telemetry.pools)
            raise BadInput("the scenario has no such pool", key="pool", value=self.pool, expected=known)
        if self._window is None:
            self.begin(telemetry.pools[self.pool].gpus / controls.scale)
            self._window = Window(telemetry.now)
        else:
            self.look(self._window, telemetry, controls)
        samples, seconds = self.needed()
        if self._window.served >= samples and telemetry.now - self._window.began >= seconds:
            rtt, in_flight = self._window.latency / self._window.served, self._window.in_flight
            self._window = Window(telemetry.now)
            self.learn(rtt, in_flight, telemetry.now)
        self.turn(controls, limit=math.floor(self.limit()))

    def begin(self, gpus: float) -> None:
        """The limits of a pool with so many GPUs, at full scale."""
        start = max(self.at_start, self.least, gpus) if self.start is None else self.start
        most = max(self.at_most, start, 10 * gpus) if self.most is None else self.most
        self._learnt = Learnt(min(start, most), least=self.least, most=most)

    def look(self, window: Window, telemetry: Telemetry, controls: Controls) -> None:
        window.served += counted(telemetry.served, controls, self.tiers, self.features)
        window.latency += counted(telemetry.latency, controls, self.tiers, self.features)
        window.in_flight = max(window.in_flight, telemetry.pools[self.pool].inside / controls.scale)

    def needed(self) -> tuple[float, float]:
        """How many images and how many seconds end the window."""
        return self.samples, self.window

    def learn(self, rtt: float, in_flight: float, now: float) -> None:
        """Take in the mean latency of a window and the most that was in the pool."""
        self._learnt = self.ruled(self._learnt, rtt, in_flight)

    def ruled(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        """The rule, with this policy's settings."""
        raise NotImplementedError

    def limit(self) -> float:
        return self._learnt.limit


class Aimd(Adaptive):
    """A limit on the requests in a pool that grows by one, and falls by a tenth when latency exceeds a timeout.

    So it swings between the limit at which latency is `timeout` and nine tenths of it. AIMDLimit of
    Netflix/concurrency-limits; a gateway sees no client's timeout, so only latency counts.
    """

    kind: Literal["aimd"] = "aimd"
    timeout: Finite = Field(default=60.0, description="latency above which it backs off; Netflix's 5 s is for calls")
    backoff: Fraction = Field(default=0.9, ge=0.5, lt=1, description="what the limit is multiplied by; the original's")

    def ruled(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        return aimd(learnt, rtt, in_flight, timeout=self.timeout, backoff=self.backoff)


class Vegas(Adaptive):
    """A limit on the requests in a pool that keeps a short queue: 3 to 6 requests, 6 to 12 from a limit of 100 on.

    VegasLimit of Netflix/concurrency-limits, not smoothed, as by default there. The latency without a queue is the
    least it has seen; a probe under load learns too high a one, and the limit then grows.
    """

    at_most: ClassVar[float] = 1000.0

    kind: Literal["vegas"] = "vegas"
    least: Limit = Field(default=1.0, description="lowest limit, the original's")
    probe: Plain | None = Field(default=30.0, gt=0, description="a probe after 0.75 probe limit windows; null: never")

    def ruled(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        return vegas(learnt, rtt, in_flight, probe=math.inf if self.probe is None else self.probe)


class Gradient2(Adaptive):
    """A limit on the requests in a pool that shrinks when latency exceeds its own long average by half.

    Gradient2Limit of Netflix/concurrency-limits. Where overload lasts the average follows, and the limit creeps up.
    """

    kind: Literal["gradient2"] = "gradient2"
    smoothing: Fraction = Field(default=0.2, gt=0, description="share of a change that is made; the original's")
    queue: Count = Field(default=4.0, description="requests that may always wait; the original's")
    long: Ones = Field(default=600, description="windows that the long average is over; the original's")
    tolerance: Annotated[Plain, Field(ge=1)] = Field(default=1.5, description="latency over it at which it shrinks")

    def ruled(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        how = {"smoothing": self.smoothing, "queue": self.queue, "tolerance": self.tolerance}
        return gradient2(learnt, rtt, in_flight, False, long=self.long, **how)


class EnvoyGradient(Adaptive):
    """A limit on the requests in a pool that keeps latency some 1.3 times its least (Envoy's adaptive concurrency).

    The least latency is given, or else measured, at the start and `every` so often, with the limit held at its lowest
    meanwhile: with three requests of 4 s at once fifty take 67 s, in which nearly everybody is refused. Then the limit
    is as before. Different from Envoy: means instead of medians, as telemetry has sums; whoever was in the pool when
    the measurement begins is left to leave first; and a random 0 to 15 % more than `every` is always 7.5 % more.
    """

    at_start: ClassVar[float] = 1.0
    at_most: ClassVar[float] = 1000.0

    kind: Literal["envoy gradient"] = "envoy gradient"
    least: Limit = Field(default=3.0, description="lowest limit, Envoy's")
    buffer: Fraction = Field(default=0.25, description="share by which latency may exceed the least; Envoy's")
    min_rtt: Finite | None = Field(default=None, description="least latency; measured where absent")
    requests: Ones = Field(default=50, description="images it is measured over; Envoy's")
    every: Finite = Field(default=18000.0, description="time between measurements: 600 windows, as in Envoy's example")
    _due: float = PrivateAttr(default=math.nan)
    _measuring: bool = PrivateAttr(default=False)
    _emptying: bool = PrivateAttr(default=False)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        super().act(telemetry, controls)
        if self._emptying:  # who was let in before does not count
            self._emptying = telemetry.pools[self.pool].inside > max(1.0, self.least * controls.scale)
            self._window = Window(telemetry.now)

    def begin(self, gpus: float) -> None:
        super().begin(gpus)
        self._learnt = replace(self._learnt, baseline=self.min_rtt or math.nan)
        self._measuring = self._emptying = self.min_rtt is None

    def needed(self) -> tuple[float, float]:
        images = math.inf if self._emptying else self.requests
        return (images, 0.0) if self._measuring else super().needed()

    def learn(self, rtt: float, in_flight: float, now: float) -> None:
        if self._measuring:
            self._learnt = replace(self._learnt, baseline=rtt, count=0)
            self._measuring, self._due = False, now + 1.075 * self.every
            return
        super().learn(rtt, in_flight, now)
        if self.min_rtt is None and (now >= self._due or self._learnt.count >= PATIENCE):
            self._measuring = self._emptying = True

    def ruled(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        return envoy(learnt, rtt, in_flight, buffer=self.buffer)

    def limit(self) -> float:
        return self.least if self._measuring else super().limit()
