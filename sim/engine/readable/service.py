"""The SimPy engine's service: the gateway in front of the pools, and the record of all that happened."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from simpy import Event

from sim.engine.clock import Clock
from sim.engine.readable.crowd import Crowd
from sim.engine.readable.pool import Batch, Pool
from sim.model.chance import EXPONENTIAL_NOISE, LOGNORMAL_NOISE, NO_NOISE, noise, sample
from sim.model.controls import LAST, Controls, PoolTelemetry, Telemetry, read_only
from sim.model.gateway import (
    EXPIRED,
    GRANTED,
    decide,
    fresh_limiter,
    level_of,
)
from sim.model.knobs import (
    BUCKET,
    BUDGET,
    FLOW,
    NO_BUDGET,
    PER_FIRST,
    PER_SUCCESS,
    POWER,
    PRIORITY,
    QUOTA,
    RATE,
    RATIO,
    SLOWDOWN,
    STICKY,
    WEIGHT,
)
from sim.model.request import ABANDONED, OUTCOMES, REFUSED, SERVED, UNFINISHED, Request, Spec
from sim.model.streams import CLASS, DEAL, LOAD, MIX, ROLLOUT, SERVICE, SHED, draw
from sim.results.log import Log
from sim.scenario.scenario import Scenario

ATTEMPTS = 1024  # room for the attempts of one ask in the k of a draw
METERS = 1024  # room for the meters of one account

NOISES = {
    "none": NO_NOISE,
    "lognormal": LOGNORMAL_NOISE,
    "as measured": LOGNORMAL_NOISE,
    "exponential": EXPONENTIAL_NOISE,
}


@dataclass(eq=False)
class Open:
    """A wish that is not over, where late images are delivered: `news` tells its user of one, `image`."""

    news: Event
    present: Request | None = None  # the attempt whose end is waited for
    image: Request | None = None


class Service:
    """The gateway in front of the pools, and the record of all that happened."""

    def __init__(
        self, env: Clock, scenario: Scenario, crowd: Crowd, controls: Controls, seed: int, *, unlimited: bool = False
    ):
        self.env, self.scenario, self.crowd, self.controls, self.seed = env, scenario, crowd, controls, seed
        self.midnight = scenario.midnight
        self.specs: list[Spec] = scenario.specs()
        features = list(scenario.features.values())
        self.ladders = [  # by feature and number of images
            [[self.specs.index(rung) for rung in ladder] for ladder in feature.ladders().values()]
            for feature in features
        ]
        self.meters = [sorted(set(scenario.meters())).index(meter) for meter in scenario.meters()]
        self.pool_of = [list(scenario.pools).index(feature.pool) for feature in features]
        self.noises = [(NOISES[scenario.serving.noise.kind], scenario.noise_sigma(spec.model)) for spec in self.specs]
        self.notices = scenario.serving.notices_leaving
        self.delivers_late = scenario.serving.delivers_late
        self.open: dict[tuple[int, int], Open] = {}  # wishes that a late image would fulfil, by user and ask
        self.limiters: dict[tuple[int, int], np.ndarray] = {}
        self.no_limiter = fresh_limiter()  # nothing is ever written into it: it stands for users without limits
        self.in_flight: dict[int, int] = {}
        self.accounts: dict[int, int] = {}  # further accounts of a user
        self.requests: list[Request] = []
        self.batches: list[Batch] = []
        self.signups = 0
        self.active = 0  # people in the midst of a day of use
        self.tokens = 0.0  # retries that the budget pays for
        self.retries = controls.retries.tolist()
        self.forget()
        self.pools = [
            Pool(env, scenario, number, seed, start=self.start, finish=self.finish, drop=self.drop, unlimited=unlimited)
            for number in range(len(scenario.pools))
        ]
        self.refresh()

    def refresh(self) -> None:
        """Take over the knobs as they are now."""
        self.rows = [[(row, row.tolist()) for row in tier] for tier in self.controls.knobs]
        for pool, knobs in zip(self.pools, self.controls.pools, strict=True):
            pool.take_over(knobs)
        self.region_open = self.controls.regions.tolist()
        self.retry_knobs = self.controls.retries.copy()
        before, self.retries = self.retries, self.controls.retries.tolist()
        if before[BUDGET] == NO_BUDGET != self.retries[BUDGET]:
            self.tokens = self.retries[BUCKET]

    def ask(self, user: int, feature: int, images: int, ask: int, attempt: int) -> Request:
        """One attempt arrives: it is refused with a reason, or granted (perhaps less than asked) and queued.

        images: the place of the number of images in those that the feature offers.
        """
        tier, now, key = self.crowd.tier[user], self.env.now, self.crowd.key[user]
        row, knobs = self.rows[tier][feature]
        pool, ladder, meter = self.pools[self.pool_of[feature]], self.ladders[feature][images], self.meters[feature]
        request = Request(user, ask, attempt, tier, feature, now, ladder[0], ladder[0])
        request.priority = int(knobs[PRIORITY])
        self.requests.append(request)
        self.arrivals[tier][feature] += 1
        if attempt == 0 and self.retries[BUDGET] == PER_FIRST:
            self.deposit()
        wait = pool.expected_wait(request.priority)
        request.reason = decide(
            row,
            self.limiter(user, meter, knobs),
            now,
            self.midnight,
            now - self.crowd.born[user],
            self.in_flight.get(user, 0),
            self.granted[tier][feature],
            pool.inside,
            pool.queued if pool.queued or not pool.idle else -1,
            wait,
            self.lot(user, meter),
            self.shed_draw(key, ask * ATTEMPTS + attempt, knobs[STICKY]),
        )
        if request.reason != GRANTED:
            request.outcome = REFUSED
            self.refused[tier][feature] += 1
            return request
        self.granted[tier][feature] += 1
        request.level = int(level_of(row, len(ladder) - 1, draw(self.seed, MIX, key, ask)))
        request.spec = ladder[request.level]
        request.flow = pool.flow_of(draw(self.seed, DEAL, key, 0), int(knobs[FLOW]), knobs[WEIGHT])
        request.notified = wait > self.scenario.serving.notifies_above
        request.done = self.env.event()
        self.in_flight[user] = self.in_flight.get(user, 0) + 1
        pool.join(request)
        return request

    def lot(self, user: int, meter: int) -> float:
        """A user's draw for the roll-out of a meter: above 1 where their region is not open."""
        key, open_share = self.crowd.key[user], self.region_open[self.crowd.region[user]]
        lot = draw(self.seed, ROLLOUT, key, meter + METERS * self.accounts.get(user, 0))
        return lot / open_share if open_share > 0 else math.inf

    def shed_draw(self, key: int, k: int, sticky: float) -> float:
        """The draw that decides who is shed: one a request, or one a user for `sticky` seconds."""
        if sticky > 0:
            return float(draw(self.seed, CLASS, key, math.floor(self.env.now / sticky)))
        return float(draw(self.seed, SHED, key, k))

    def limiter(self, user: int, meter: int, knobs: list[float]) -> np.ndarray:
        """What is remembered of this user's use of this meter; kept only while a rate limit or quota is on."""
        if math.inf == knobs[RATE] == knobs[QUOTA]:
            return self.no_limiter
        found = self.limiters.get((user, meter))
        if found is None:
            found = self.limiters[user, meter] = fresh_limiter()
        return found

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

    def drop(self, request: Request) -> None:
        """Its turn has come and it is dropped. Who has left already learns nothing of it."""
        self.in_flight[request.user] -= 1
        done, request.done = request.done, None
        if request.outcome is None:
            request.outcome, request.reason = REFUSED, EXPIRED
            self.refused[request.tier][request.feature] += 1
            if self.scenario.serving.tells_refusals or not request.timed:
                done.succeed()  # type: ignore[attr-defined]
            else:
                request.done, request.retry = done, True  # found out when patience is over

    def new_account(self, user: int) -> None:
        """A user signs up once more, under another name: nothing is remembered of that one, and it is new."""
        self.accounts[user] = self.accounts.get(user, 0) + 1
        self.crowd.born[user] = self.env.now
        for meter in self.meters:
            self.limiters.pop((user, meter), None)
        self.signups += 1

    def leave(self, request: Request) -> None:
        """The user's patience is over. If the service notices, a queued request is taken out; else it is served."""
        if request.outcome == REFUSED and request.done is not None:
            done, request.done = request.done, None
            done.succeed()  # type: ignore[attr-defined]
        if request.outcome is None:
            done = request.done
            self.abandon(request)
            if request.done is None:  # taken out: who is next now may have waited for long enough
                self.pools[self.pool_of[request.feature]].wake_one()
            done.succeed()  # type: ignore[attr-defined]

    def abandon(self, request: Request) -> None:
        """Its user waits no longer. If the service notices, a queued request is taken out."""
        request.left, request.outcome = self.env.now, ABANDONED
        if math.isnan(request.started) and self.notices:
            request.done = None  # the mark by which its lane passes over it
            pool = self.pools[self.pool_of[request.feature]]
            request.dequeued = self.env.now
            pool.inside -= 1
            pool.count(request, -1)
            self.in_flight[request.user] -= 1

    def start(self, requests: list[Request], pool: Pool, gpu: int) -> Batch:
        """Put a batch on a GPU."""
        head, now = requests[0], self.env.now
        size = len(requests) * self.specs[head.spec].images
        seconds = self.seconds(head, size, pool, gpu)
        batch = Batch(
            len(self.batches),
            pool.number,
            gpu,
            head.spec,
            requests,
            size,
            now,
            seconds,
            float(pool.knobs[POWER]),
        )
        self.batches.append(batch)
        for request in requests:
            request.started, request.batch, request.gpu_seconds = now, batch.number, seconds / len(requests)
            self.started[request.tier][request.feature] += 1
            self.waited[request.tier][request.feature] += now - request.arrived
        return batch

    def seconds(self, head: Request, size: int, pool: Pool, gpu: int) -> float:
        """How long this GPU takes for a batch of `size` images, of which `head` is the first request."""
        key, k = self.crowd.key[head.user], head.ask * ATTEMPTS + head.attempt
        factor = noise(*self.noises[head.spec], self.seed, SERVICE, key, k)
        seconds = pool.seconds[head.spec][size] * pool.pace(gpu) * factor * pool.knobs[SLOWDOWN]
        if pool.loads(gpu, head.spec):
            seconds += sample(*pool.load, self.seed, LOAD, key, k)
        return float(seconds)

    def finish(self, request: Request) -> None:
        """An image is done; if its user is still there, it is served."""
        request.finished = self.env.now
        self.in_flight[request.user] -= 1
        done, request.done = request.done, None  # the log outlives the run's events
        if request.outcome is None:
            self.open.pop((request.user, request.ask), None)
            self.count_served(request)
            done.succeed()  # type: ignore[attr-defined]
        elif self.delivers_late and (request.user, request.ask) in self.open:
            self.deliver(request, self.open.pop((request.user, request.ask)))

    def count_served(self, request: Request) -> None:
        request.outcome = SERVED
        if self.retries[BUDGET] == PER_SUCCESS:
            self.deposit()
        self.served[request.tier][request.feature] += 1
        self.latency[request.tier][request.feature] += self.env.now - request.arrived

    def deliver(self, request: Request, wish: "Open") -> None:
        """An image is done that its user had given up, and still wants: they wait no longer for another."""
        request.left, request.retry = math.nan, False
        self.count_served(request)
        wish.image = request
        present = wish.present
        if present is not None and present.outcome is None:
            self.abandon(present)
        elif present is not None:  # it was refused, and nobody said so
            present.retry = False
        wish.news.succeed()

    def begin(self, user: int, ask: int) -> Open | None:
        """Remember a wish, where a late image would fulfil it."""
        if not self.delivers_late:
            return None
        wish = self.open[user, ask] = Open(self.env.event())
        return wish

    def forget(self) -> None:
        """Begin a new control interval: the counts since the last tick are zero."""
        tiers, features = len(self.scenario.tiers), len(self.scenario.features)
        self.arrivals, self.refused, self.granted, self.served, self.started = (
            [[0] * features for _ in range(tiers)] for _ in range(5)
        )
        self.latency = [[0.0] * features for _ in range(tiers)]
        self.waited = [[0.0] * features for _ in range(tiers)]
        self.signups = 0

    def telemetry(self, waitlisted: int) -> Telemetry:
        """What a policy may see now, counts since the tick before."""
        pools = {
            name: PoolTelemetry(pool.gpus, pool.running, pool.queued, pool.inside, pool.expected_wait(LAST))
            for name, pool in zip(self.scenario.pools, self.pools, strict=True)
        }
        return Telemetry(
            now=self.env.now,
            pools=pools,
            arrivals=read_only(self.arrivals),
            refused=read_only(self.refused),
            served=read_only(self.served),
            waited=read_only(self.waited),
            started=read_only(self.started),
            latency=read_only(self.latency),
            signups=self.signups,
            waitlisted=waitlisted,
            active=self.active,
        )

    def log(self) -> Log:
        """All that happened."""
        outcomes = {outcome: code for code, outcome in enumerate(OUTCOMES)}
        fields = ("user", "ask", "attempt", "tier", "feature", "asked", "spec", "level", "reason", "retry", "notified")
        requests = {name: column(self.requests, name, np.int64) for name in fields}
        times = ("arrived", "started", "dequeued", "finished", "left", "gpu_seconds")
        requests |= {name: column(self.requests, name, float) for name in times}
        requests["outcome"] = np.array([outcomes[r.outcome or UNFINISHED] for r in self.requests], dtype=np.int64)
        requests["batch"] = np.array([-1 if r.batch is None else r.batch for r in self.requests], dtype=np.int64)
        batches = {name: column(self.batches, name, np.int64) for name in ("pool", "gpu", "spec", "size")}
        batches |= {name: column(self.batches, name, float) for name in ("started", "finished", "seconds", "power")}
        return Log(
            requests, batches, self.crowd.columns(), [pool.gpus if pool.unlimited else pool.own for pool in self.pools]
        )


def column(rows: list[Any], name: str, kind: Any) -> np.ndarray:
    return np.fromiter((getattr(row, name) for row in rows), dtype=kind, count=len(rows))
