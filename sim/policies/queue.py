"""How a pool's queue is served, and which requests are dropped from it when their turn comes."""

from typing import Literal

from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, Telemetry
from sim.policies.base import Advice, Duration, OfOnePool, OfPools


class LastInFirstOut(OfPools):
    """Serves the newest request first: under overload some images come in time, where in order none would.

    A request that has waited long goes on waiting, possibly forever.
    """

    advice = Advice(
        "queue",
        protects="goodput under overload: some users get their image in time",
        costs="the longest wait for those who came first",
        fails="with patient users, and for anybody's sense of fairness",
        keeps_goodput=True,
    )

    kind: Literal["last in first out"] = "last in first out"

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, order=self.kind)


class AdaptiveLifo(OfOnePool):
    """First in, first out; last in, first out while the queue stands (Facebook, "Fail at Scale", ACM Queue 2015)."""

    advice = Advice(
        "queue",
        protects="goodput under overload, and everybody's place while all is well",
        costs="the longest wait for those who came first, during a surge",
        fails="with patient users, whose turn comes after the surge",
        example={"pool": "gpus", "above": "10 s"},
        keeps_goodput=True,
    )

    kind: Literal["adaptive lifo"] = "adaptive lifo"
    above: Duration = Field(description="expected wait above which a queue stands")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self.seen(telemetry).expected_wait > self.above:
            controls.set_pool([self.pool], order="last in first out")


class ControlledDelay(OfOnePool):
    """Drops requests that have waited for `long`; once a queue has stood that long, for `short`, newest served first.

    What Facebook's services did ("Fail at Scale", ACM Queue 2015), with 5 ms and 100 ms: a queue that was empty within
    the last `long` is a burst, and may take its time; any other is overload. There a request's time limit is set when
    it arrives, here when its turn comes. The policy sees at control ticks whether a queue is empty, so several of them
    should fit into `long`. For images choose one service time for `short`, and five to ten for `long`.
    """

    advice = Advice(
        "queue",
        protects="freshness: once a queue has stood for a while, requests expire soon",
        costs="the requests of bursts that last longer than that",
        fails="with limits longer than people's patience",
        example={"pool": "gpus", "short": "8 s", "long": "40 s"},
        keeps_goodput=True,
    )

    kind: Literal["controlled delay"] = "controlled delay"
    short: Duration = Field(description="wait after which a request is dropped while the queue stands")
    long: Duration = Field(description="wait after which it is dropped otherwise, and after which a queue stands")
    lifo: bool = Field(default=True, description="whether the newest request is served first while the queue stands")
    _empty: float | None = PrivateAttr(default=None)  # when the queue was last seen empty, or first seen

    ascending = ("short", "long")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self._empty is None or self.seen(telemetry).queued == 0:
            self._empty = telemetry.now
        stands = telemetry.now - self._empty > self.long
        controls.set_pool([self.pool], expire=self.short if stands else self.long)
        if stands and self.lifo:
            controls.set_pool([self.pool], order="last in first out")


class Expiry(OfPools):
    """Drops a request at its turn if it has waited longer than `after`, since its user is likely to have left.

    With `foresight` the seconds of its service count too. Without, requests close to the limit are served too late.
    """

    advice = Advice(
        "queue",
        protects="GPU time from images that nobody waits for",
        costs="users who would have gone on waiting",
        fails="without foresight, when requests close to the limit are served too late",
        example={"after": "50 s"},
        keeps_goodput=True,
    )

    kind: Literal["expiry"] = "expiry"
    after: Duration
    foresight: bool = True

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, expire=self.after, foresight=float(self.foresight))


class CoDel(OfPools):
    """Drops requests at their turn so that waits return to a target (RFC 8289; 'folly': Facebook's services).

    CoDel drops ever faster while every wait of an interval exceeds the target. Folly's variant drops, for one interval
    after an interval whose shortest wait exceeded the target, every request that waited twice as long. Made for
    packets, with 5 and 100 ms: for images choose one service time as the target, and five to ten as the interval.
    """

    advice = Advice(
        "queue",
        protects="the wait, while bursts are let through",
        costs="the requests dropped after they have waited",
        fails="as the RFC has it, against people, who do not slow down",
        example={"target": "4 s", "interval": "40 s"},
        keeps_goodput=True,
    )

    kind: Literal["codel"] = "codel"
    like: Literal["codel", "folly"] = "folly"
    target: Duration
    interval: Duration

    ascending = ("target", "interval")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, codel=self.like, target=self.target, interval=self.interval)
