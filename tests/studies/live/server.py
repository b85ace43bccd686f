"""The live server: a gateway that asks the same rules under the same policies as the simulated one; then its pools."""

import math

import numpy as np

from sim.engine.readable.crowd import Crowd
from sim.engine.readable.service import column
from sim.errors import BadInput
from sim.model.controls import LAST, Controls, PoolTelemetry, Telemetry, read_only
from sim.model.gateway import EXPIRED, GRANTED, decide, fresh_limiter, level_of
from sim.model.knobs import BUCKET, BUDGET, NO_BUDGET, PER_FIRST, PER_SUCCESS, PRIORITY, QUOTA, RATE, RATIO, STICKY
from sim.model.request import ABANDONED, OUTCOMES, REFUSED, SERVED, UNFINISHED
from sim.model.streams import ATTEMPTS, CLASS, METERS, MIX, ROLLOUT, SHED, draw
from sim.results.log import Log
from sim.scenario.scenario import Scenario
from tests.studies.live.clock import RealClock
from tests.studies.live.devices import Device
from tests.studies.live.pool import Attempt, LiveBatch, LivePool

COUNTED = ("arrivals", "refused", "granted", "served", "started", "waited", "latency")


class Server:
    """The gateway in front of live pools; the engine that a control process steers; and its log."""

    def __init__(
        self, clock: RealClock, scenario: Scenario, crowd: Crowd, controls: Controls, seed: int, device: Device
    ):
        self.clock, self.scenario, self.crowd, self.controls, self.seed = clock, scenario, crowd, controls, seed
        specs, features = scenario.specs(), list(scenario.features.values())
        self.ladders = [[specs.index(rung) for rung in feature.rungs()] for feature in features]
        self.meters = [sorted(set(scenario.meters())).index(meter) for meter in scenario.meters()]
        self.attempts: list[Attempt] = []
        self.batches: list[LiveBatch] = []
        self.limiters: dict[tuple[int, int], np.ndarray] = {}
        self.in_flight: dict[int, int] = {}
        self.signups = self.active = 0
        self.tokens = 0.0  # retries that the budget pays for
        self.tick = 0.0  # seconds: when the last control interval began
        self.knobs, self.retries = controls.knobs.copy(), controls.retries.copy()
        self.forget()
        self.pools = [
            LivePool(
                *(clock, scenario, number, seed, device),
                batches=self.batches,
                start=self.start,
                finish=self.finish,
                drop=self.drop,
            )
            for number in range(len(scenario.pools))
        ]
        self.pool_of = [self.pools[list(scenario.pools).index(feature.pool)] for feature in features]

    def ask(self, user: int, feature: int, ask: int, attempt: int, due: float) -> Attempt:
        """An attempt, due at some instant, is here: refused with a reason, or queued, with `done` to wait for."""
        tier, key, now = self.crowd.tier[user], self.crowd.key[user], self.clock.now()
        knobs, pool, ladder = self.knobs[tier, feature], self.pool_of[feature], self.ladders[feature]
        request = Attempt(user, ask, attempt, tier, feature, due, ladder[0], ladder[0], key=key, received=now)
        request.priority = int(knobs[PRIORITY])
        self.attempts.append(request)
        self.counts["arrivals"][tier, feature] += 1
        if attempt == 0 and self.retries[BUDGET] == PER_FIRST:
            self.deposit()
        wait = pool.expected_wait(request.priority)
        request.reason = self.answer(request, knobs, pool, wait, now)
        if request.reason != GRANTED:
            request.outcome = REFUSED
            self.counts["refused"][tier, feature] += 1
            return request
        self.counts["granted"][tier, feature] += 1
        request.level = int(level_of(knobs, len(ladder) - 1, draw(self.seed, MIX, key, ask)))
        request.spec = ladder[request.level]
        request.notified = wait > self.scenario.serving.notifies_above
        request.done = self.clock.loop.create_future()
        self.in_flight[user] = self.in_flight.get(user, 0) + 1
        pool.join(request)
        return request

    def answer(self, request: Attempt, knobs: np.ndarray, pool: LivePool, wait: float, now: float) -> int:
        """What the gateway says to a request."""
        user, meter, key = request.user, self.meters[request.feature], request.key
        if knobs[STICKY] > 0:
            chance = draw(self.seed, CLASS, key, math.floor(now / knobs[STICKY]))
        else:
            chance = draw(self.seed, SHED, key, request.ask * ATTEMPTS + request.attempt)
        limiter = fresh_limiter()
        if min(knobs[RATE], knobs[QUOTA]) < math.inf:  # kept only while one of them is on
            limiter = self.limiters.setdefault((user, meter), limiter)
        queued = pool.queued
        return int(
            decide(
                knobs,
                limiter,
                now,
                self.scenario.midnight,
                now - self.crowd.born[user],
                self.in_flight.get(user, 0),
                int(self.counts["granted"][request.tier, request.feature]),
                pool.inside,
                queued if queued or not pool.idle else -1,
                wait,
                draw(self.seed, ROLLOUT, key, meter % METERS),
                chance,
            )
        )

    def leave(self, request: Attempt) -> None:
        """Its user's patience is over. If the server notices, it is taken out of the queue; else it is served."""
        if request.outcome is not None:
            return
        request.left, request.outcome = self.clock.now(), ABANDONED
        if math.isnan(request.started) and self.scenario.serving.notices_leaving:
            self.pool_of[request.feature].leave(request)
            request.dequeued = request.left
            self.in_flight[request.user] -= 1
        self.wake(request)

    def start(self, request: Attempt) -> None:
        self.counts["started"][request.tier, request.feature] += 1
        self.counts["waited"][request.tier, request.feature] += request.started - request.received

    def finish(self, request: Attempt) -> None:
        """An image is done; if its user is still there, it is served."""
        request.finished = self.clock.now()
        self.in_flight[request.user] -= 1
        if request.outcome is None:
            request.outcome = SERVED
            if self.retries[BUDGET] == PER_SUCCESS:
                self.deposit()
            self.counts["served"][request.tier, request.feature] += 1
            self.counts["latency"][request.tier, request.feature] += request.finished - request.received
            self.wake(request)

    def drop(self, request: Attempt) -> None:
        """Its turn has come and it is dropped. Who has left already learns nothing of it."""
        self.in_flight[request.user] -= 1
        if request.outcome is None:
            request.outcome, request.reason = REFUSED, EXPIRED
            self.counts["refused"][request.tier, request.feature] += 1
            self.wake(request)

    def wake(self, request: Attempt) -> None:
        """Tell the client that it is over."""
        request.done.set_result(None)  # type: ignore[attr-defined]

    def deposit(self) -> None:
        """Pay into the retry budget."""
        self.tokens = min(self.tokens + self.retries[RATIO], self.retries[BUCKET])

    def pays_for_retry(self) -> bool:
        """Whether the retry budget, where there is one, has a retry left; it is taken out."""
        if self.retries[BUDGET] == NO_BUDGET:
            return True
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def advance(self, until: float) -> None:
        """A control interval has ended; all that came before it has happened by itself."""
        self.tick = until

    def telemetry(self) -> Telemetry:
        """What a policy may see now, counts since the tick before."""
        pools = {
            name: PoolTelemetry(pool.gpus, pool.running, pool.queued, pool.inside, pool.expected_wait(LAST))
            for name, pool in zip(self.scenario.pools, self.pools, strict=True)
        }
        seen = {name: read_only(counts) for name, counts in self.counts.items() if name != "granted"}
        return Telemetry(self.tick, pools, signups=self.signups, waitlisted=0, active=self.active, **seen)

    def take_over(self) -> None:
        """The knobs are set: they hold from now on, and a new control interval begins."""
        before = self.retries[BUDGET]
        self.knobs, self.retries = self.controls.knobs.copy(), self.controls.retries.copy()
        if before == NO_BUDGET != self.retries[BUDGET]:
            self.tokens = self.retries[BUCKET]
        for pool, knobs in zip(self.pools, self.controls.pools, strict=True):
            pool.take_over(knobs)
        self.forget()

    def forget(self) -> None:
        """Begin a new control interval: the counts since the last tick are zero."""
        shape = len(self.scenario.tiers), len(self.scenario.features)
        self.counts = {name: np.zeros(shape) for name in COUNTED}
        self.signups = 0

    def let_in(self, seconds: float) -> None:
        """Nothing to do: a live server has no waitlist. Raises BadInput where a policy wants one."""
        if self.controls.signup_rate < math.inf:
            raise BadInput("the live server has no waitlist", key="signup_rate", value=self.controls.signup_rate)

    def log(self) -> Log:
        """All that happened, in the columns in which the simulator has it."""
        outcomes = {outcome: code for code, outcome in enumerate(OUTCOMES)}
        fields = ("user", "ask", "attempt", "tier", "feature", "asked", "spec", "level", "reason", "retry", "notified")
        requests = {name: column(self.attempts, name, np.int64) for name in fields}
        times = ("arrived", "started", "dequeued", "finished", "left", "gpu_seconds")
        requests |= {name: column(self.attempts, name, float) for name in times}
        requests["outcome"] = np.array([outcomes[a.outcome or UNFINISHED] for a in self.attempts], dtype=np.int64)
        requests["batch"] = np.array([-1 if a.batch is None else a.batch for a in self.attempts], dtype=np.int64)
        batches = {name: column(self.batches, name, np.int64) for name in ("pool", "gpu", "spec", "size")}
        batches |= {name: column(self.batches, name, float) for name in ("started", "finished", "seconds", "power")}
        return Log(requests, batches, self.crowd.columns(), [pool.own for pool in self.pools])
