"""Limits on the requests in a pool that adapt to latency alone: AIMD, Vegas, Gradient2 and Envoy's."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry
from sim.policies.adaptive_rules import Learnt, aimd, envoy, gradient2, vegas
from sim.policies.base import Advice, Duration, Level, Targeted, counted
from sim.units import Count, Fraction, Plain

Limit = Annotated[Count, Field(ge=1, allow_inf_nan=False)]
PATIENCE = 5  # windows at its least limit after which Envoy's controller measures its least latency again
QUICK = {"pool": "gpus", "window": "10 s"}  # settings of the examples


@dataclass
class Window:
    """Telemetry summed over the ticks since `began`."""

    began: float
    served: float = 0.0
    latency: float = 0.0  # summed, seconds
    in_flight: float = 0.0  # the most at a tick, of the whole service


class Adaptive(Targeted):
    """A limit on one pool that adapts to the mean latency of windows of time.

    As with Netflix's WindowedLimit a rule gets the mean latency of a window and the most requests that were in flight,
    here at a control tick. Latency is that of delivered images: a pool that everybody leaves unserved teaches nothing,
    so the limit should start low enough for people's patience.
    """

    at_start: ClassVar[float] = 20.0
    at_most: ClassVar[float] = 200.0

    pool: str = Field(description="pool whose latency it watches; name the features it serves where there are others")
    samples: Level = Field(default=10, description="images served before it decides; 10 in Netflix's WindowedLimit")
    window: Duration = Field(default=30.0, description="least time before it decides: ten images; ten calls at Netflix")
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
        pool = telemetry.pool(self.pool)
        if self._window is None:
            self.begin(pool.gpus / controls.scale)
            self._window = Window(telemetry.now)
        else:
            self.look(self._window, telemetry, controls)
        samples, seconds = self.needed()
        if self._window.served >= samples and telemetry.now - self._window.began >= seconds:
            rtt, in_flight = self._window.latency / self._window.served, self._window.in_flight
            self._window = Window(telemetry.now)
            self.learn(rtt, in_flight, telemetry.now)
        self.set(controls, limit=math.floor(self.limit()))

    def begin(self, gpus: float) -> None:
        """Set the limits at the start for the GPUs of the pool, at full scale."""
        start = max(self.at_start, self.least, gpus) if self.start is None else self.start
        most = max(self.at_most, start, 10 * gpus) if self.most is None else self.most
        self._learnt = Learnt(min(start, most), least=self.least, most=most)

    def look(self, window: Window, telemetry: Telemetry, controls: Controls) -> None:
        """Count what has happened since the tick before."""
        window.served += counted(telemetry.served, controls, self.tiers, self.features)
        window.latency += counted(telemetry.latency, controls, self.tiers, self.features)
        window.in_flight = max(window.in_flight, telemetry.pools[self.pool].inside / controls.scale)

    def needed(self) -> tuple[float, float]:
        """The number of images and the number of seconds after which a window ends."""
        return self.samples, self.window

    def learn(self, rtt: float, in_flight: float, now: float) -> None:
        """Adapt to the mean latency of a window and the most requests in flight."""
        self._learnt = self.adapted(self._learnt, rtt, in_flight)

    def adapted(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        """The rule of this policy, with its settings."""
        raise NotImplementedError

    def limit(self) -> float:
        return self._learnt.limit


class Aimd(Adaptive):
    """A limit on the requests in a pool that grows by one, and falls by a tenth when latency exceeds a timeout.

    It swings between the limit at which latency equals `timeout` and nine tenths of that. AIMDLimit of
    Netflix/concurrency-limits; a gateway does not see the timeouts of clients, so only latency counts.
    """

    advice = Advice(
        "limits",
        protects="latency, where capacity is not known",
        costs="some goodput while it learns, and a limit that keeps swinging",
        fails="in pools that batch, where latency grows with the batch; with few images in a window",
        example={**QUICK, "timeout": "20 s"},
        keeps_goodput=True,
    )

    kind: Literal["aimd"] = "aimd"
    timeout: Duration = Field(default=60.0, description="latency above which it backs off; Netflix's 5 s is for calls")
    backoff: Fraction = Field(default=0.9, ge=0.5, lt=1, description="what the limit is multiplied by; the original's")

    def adapted(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        return aimd(learnt, rtt, in_flight, timeout=self.timeout, backoff=self.backoff)


class Vegas(Adaptive):
    """A limit on the requests in a pool that keeps a short queue: 3 to 6 requests, 6 to 12 from a limit of 100 on.

    VegasLimit of Netflix/concurrency-limits, without smoothing, which is the default there. It takes the least latency
    it has seen for that of an empty queue; a probe under load measures too high a latency, and then the limit grows.
    """

    advice = Advice(
        "limits",
        protects="latency, where capacity is not known, by the least latency seen",
        costs="some goodput while it learns",
        fails="when the least latency is measured under load; in pools that batch",
        example={**QUICK, "probe": None},
        keeps_goodput=True,
    )
    at_most: ClassVar[float] = 1000.0

    kind: Literal["vegas"] = "vegas"
    least: Limit = Field(default=1.0, description="lowest limit, the original's")
    probe: Plain | None = Field(default=30.0, gt=0, description="a probe after 0.75 probe limit windows; null: never")

    def adapted(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        return vegas(learnt, rtt, in_flight, probe=math.inf if self.probe is None else self.probe)


class Gradient2(Adaptive):
    """A limit on the requests in a pool that shrinks when latency exceeds its own long average by half.

    Gradient2Limit of Netflix/concurrency-limits. While overload lasts the average follows, and the limit creeps up.
    """

    advice = Advice(
        "limits",
        protects="latency, where capacity is not known, by its long-run average",
        costs="some goodput while it learns",
        fails="in long overload, which becomes the latency that it takes for normal",
        example=QUICK,
        keeps_goodput=True,
    )

    kind: Literal["gradient2"] = "gradient2"
    smoothing: Fraction = Field(default=0.2, gt=0, description="share of a change that is made; the original's")
    queue: Count = Field(default=4.0, description="requests that may always wait; the original's")
    long: Level = Field(default=600, description="windows that the long average is over; the original's")
    tolerance: Annotated[Plain, Field(ge=1)] = Field(default=1.5, description="latency over it at which it shrinks")

    def adapted(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        how = {"smoothing": self.smoothing, "queue": self.queue, "tolerance": self.tolerance}
        return gradient2(learnt, rtt, in_flight, long=self.long, **how)


class EnvoyGradient(Adaptive):
    """A limit on the requests in a pool that keeps latency at about 1.3 times its least (Envoy's adaptive concurrency).

    The least latency is given; otherwise it is measured at the start and then at intervals of `every`, with the limit
    held at its lowest meanwhile: at three requests of 4 s at once, fifty take 67 s, during which nearly everybody is
    refused. Afterwards the earlier limit is restored. Differences from Envoy: means instead of medians, because
    telemetry holds sums; a measurement begins only when the requests already in the pool have left; and the interval is
    always 7.5 % longer than `every`, instead of a random 0 to 15 %.
    """

    advice = Advice(
        "limits",
        protects="latency, where capacity is not known, by measuring it with almost nobody inside",
        costs="goodput while it measures, when nearly everybody is refused",
        fails="when it measures in the middle of a surge",
        example=QUICK,
        keeps_goodput=True,
    )
    at_start: ClassVar[float] = 1.0
    at_most: ClassVar[float] = 1000.0

    kind: Literal["envoy gradient"] = "envoy gradient"
    least: Limit = Field(default=3.0, description="lowest limit, Envoy's")
    buffer: Fraction = Field(default=0.25, description="share by which latency may exceed the least; Envoy's")
    min_rtt: Duration | None = Field(default=None, description="least latency; measured where absent")
    requests: Level = Field(default=50, description="images over which it is measured; Envoy's")
    every: Duration = Field(default=18000.0, description="time between measurements: 600 windows, as Envoy's example")
    _due: float = PrivateAttr(default=math.nan)
    _measuring: bool = PrivateAttr(default=False)
    _emptying: bool = PrivateAttr(default=False)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        super().act(telemetry, controls)
        if self._emptying:  # requests let in earlier do not count
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

    def adapted(self, learnt: Learnt, rtt: float, in_flight: float) -> Learnt:
        return envoy(learnt, rtt, in_flight, buffer=self.buffer)

    def limit(self) -> float:
        return self.least if self._measuring else super().limit()
