"""The readable engine's service: requests from the gateway to their images, and the record of all that happened."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from simpy import Event

from sim.engine.clock import Clock
from sim.engine.readable.batch import Batch
from sim.engine.readable.crowd import Crowd
from sim.engine.readable.gateway import Gateway
from sim.engine.readable.pool import Pool
from sim.engine.readable.together import TogetherPool
from sim.model.chance import NOISES
from sim.model.controls import Controls, Telemetry, read_only
from sim.model.dispatch import batch_seconds, load_seconds
from sim.model.gateway import EXPIRED, GRANTED
from sim.model.knobs import POWER, PRIORITY, SLOWDOWN
from sim.model.losses import CANCELLED
from sim.model.passes import LENGTHS, passes_needed
from sim.model.request import ABANDONED, OUTCOMES, REFUSED, SERVED, UNFINISHED, Request, Spec
from sim.model.routing import is_behind, other_place
from sim.model.standing import IN_SERVICE
from sim.model.streams import ATTEMPTS, SPILL, draw
from sim.results.log import OF_TOKENS, Columns, Log
from sim.scenario.scenario import Scenario
from sim.scenario.serving_options import BATCHES


@dataclass(eq=False)
class Open:
    """A wish that is not over, where late images are delivered: `news` wakes its user when one, `image`, is done."""

    news: Event
    present: Request | None = None  # the attempt whose end is waited for
    image: Request | None = None


class Counts:
    """Counts since the last control tick: by tier and feature, and signups."""

    def __init__(self, tiers: int, features: int):
        self.arrivals, self.refused, self.served, self.started = (
            [[0] * features for _ in range(tiers)] for _ in range(4)
        )
        self.latency, self.waited = ([[0.0] * features for _ in range(tiers)] for _ in range(2))  # seconds
        self.signups = 0


class Service:
    """The gateway and its pools, and the outcome of each request as its user learns it."""

    def __init__(
        self, env: Clock, scenario: Scenario, crowd: Crowd, controls: Controls, seed: int, *, unlimited: bool = False
    ):
        self.env, self.scenario, self.crowd, self.controls, self.seed = env, scenario, crowd, controls, seed
        self.specs: list[Spec] = scenario.specs()
        kind = NOISES[scenario.serving.noise.kind]
        self.noises = [
            (kind, scenario.noise_shape(spec.model), np.array(scenario.noise_factors(spec.model)))
            for spec in self.specs
        ]
        self.lengths = [(LENGTHS[f.length.kind], f.length.sigma) for f in scenario.features.values()]
        self.open: dict[tuple[int, int], Open] = {}  # wishes that a late image would fulfil, by user and ask
        self.requests: list[Request] = []
        self.batches: list[Batch] = []
        self.active = 0  # people in the midst of a day of use
        self.gateway = Gateway(env, scenario, crowd, controls, seed)
        self.pools = [
            (Pool if pool.runs == BATCHES else TogetherPool)(
                env, scenario, number, seed, start=self.start, finish=self.finish, drop=self.drop, unlimited=unlimited
            )
            for number, pool in enumerate(scenario.pools.values())
        ]
        names = list(scenario.pools)
        self.pool_of = [self.pools[names.index(feature.pool)] for feature in scenario.features.values()]
        self.feature_names = list(scenario.features)
        self.spills = [feature.spill for feature in scenario.features.values()]
        self.begin_interval()

    def begin_interval(self) -> None:
        """A control tick: the knobs hold as they are now, and counts begin at zero."""
        self.counts = Counts(len(self.scenario.tiers), len(self.scenario.features))
        for pool, knobs in zip(self.pools, self.controls.pools, strict=True):
            pool.take_over(knobs)
        self.gateway.begin_interval()

    def ask(self, user: int, feature: int, images: int, ask: int, attempt: int) -> Request:
        """One attempt arrives: it is refused with a reason, or granted (perhaps less than was asked for) and queued.

        images: the index of the number of images in those that the feature offers.
        """
        tier = self.crowd.tier[user]
        feature = self.served_as(user, tier, feature, ask)
        pool = self.pool_of[feature]
        asked = self.gateway.ladders[feature][images][0]
        request = Request(user, ask, attempt, tier, feature, self.env.now, asked, asked)
        self.requests.append(request)
        there = ask == attempt == 0 and self.crowd.habit[user].standing > 0
        self.counts.arrivals[tier][feature] += not there
        self.gateway.answer(request, images, pool, there=there)
        if request.reason != GRANTED:
            request.outcome = REFUSED
            self.counts.refused[tier][feature] += 1
            return request
        request.done = self.env.event()
        pool.join(request)
        return request

    def served_as(self, user: int, tier: int, feature: int, ask: int) -> int:
        """The feature as which an attempt is served: its own, unless its pool is behind and another's is not.

        Where it has no GPU at all, another takes the attempt even if it is behind.
        """
        spill = self.spills[feature]
        if spill is None or not self.behind(tier, feature, spill.above):
            return feature
        u, others = draw(self.seed, SPILL, self.crowd.key[user], ask), [self.feature_names.index(o) for o in spill.to]
        for longest in (spill.above, math.inf) if self.pool_of[feature].gpus == 0 else (spill.above,):
            fits = np.array([float(not self.behind(tier, other, longest)) for other in others])
            place = other_place(np.array(spill.weights), fits, u)
            if place >= 0:
                return others[place]
        return feature

    def behind(self, tier: int, feature: int, longest: float) -> bool:
        pool, priority = self.pool_of[feature], int(self.controls.knobs[tier, feature, PRIORITY])
        return bool(is_behind(pool.gpus, pool.expected_wait(priority), longest))

    def begin(self, user: int, ask: int) -> Open | None:
        """Remember a wish, where a late image would fulfil it."""
        if not self.scenario.serving.delivers_late:
            return None
        wish = self.open[user, ask] = Open(self.env.event())
        return wish

    def new_account(self, user: int) -> None:
        """A user signs up once more, under another name."""
        self.gateway.new_account(user)
        self.counts.signups += 1

    def drop(self, request: Request, reason: int = EXPIRED) -> None:
        """A request that was granted is dropped. A user who has left learns nothing of it."""
        self.gateway.released(request.user)
        done, request.done = request.done, None
        if request.outcome is None:
            request.outcome, request.reason = REFUSED, reason
            self.counts.refused[request.tier][request.feature] += 1
            if self.scenario.serving.tells_refusals or not request.timed:
                done.succeed()  # type: ignore[attr-defined]
            else:
                request.done, request.retry = done, True  # found out when patience is over

    def leave(self, request: Request) -> None:
        """The user's patience is over; it may be that the image came first, or that the request was dropped."""
        done = request.done
        if request.outcome is None:
            if self.abandon(request):  # the request that is next now may have waited for long enough
                pool = self.pool_of[request.feature]
                pool.wake_one(pool.queues[request.queue])
            done.succeed()  # type: ignore[attr-defined]
        elif request.outcome == REFUSED and done is not None:
            request.done = None
            done.succeed()  # type: ignore[attr-defined]

    def abandon(self, request: Request) -> bool:
        """The user waits no longer. Whether the request is taken out of its queue: else it is served all the same."""
        request.left, request.outcome = self.env.now, ABANDONED
        if not math.isnan(request.started):
            batch = self.batches[request.batch]  # type: ignore[index]
            if self.scenario.serving.cancels_running and math.isnan(batch.finished):
                self.pools[batch.pool].stop_if_unwanted(batch)
            return False
        if not self.scenario.serving.notices_leaving:
            return False
        request.done = None
        self.pool_of[request.feature].remove(request)
        self.gateway.released(request.user)
        return True

    def start(self, requests: list[Request], pool: Pool, gpu: int) -> Batch:
        """Put a batch on a GPU; its `seconds` are passes where the GPU runs many requests at once."""
        head, now = requests[0], self.env.now
        size = len(requests) * self.specs[head.spec].images
        loading, power = self.loading(head, pool, gpu), float(pool.knobs[POWER])
        seconds = (
            self.passes(head, pool, gpu)
            if isinstance(pool, TogetherPool)
            else self.seconds(head, size, pool, gpu) + loading
        )
        batch = Batch(len(self.batches), pool.number, gpu, head.spec, requests, size, now, seconds, loading, power)
        self.batches.append(batch)
        for request in requests:
            request.started, request.batch, request.gpu_seconds = now, batch.number, seconds / len(requests)
            self.counts.started[request.tier][request.feature] += 1
            self.counts.waited[request.tier][request.feature] += now - request.arrived
        return batch

    def seconds(self, head: Request, size: int, pool: Pool, gpu: int) -> float:
        """How long this GPU serves a batch of `size` images, of which `head` is the first request."""
        key, k = self.crowd.key[head.user], head.ask * ATTEMPTS + head.attempt
        measured, noise, slowdown = pool.times(gpu)[head.spec][size], self.noises[head.spec], pool.knobs[SLOWDOWN]
        begun = self.is_begun(head)
        return float(batch_seconds(measured, pool.pace(gpu), *noise, slowdown, begun, self.seed, key, k))

    def is_begun(self, request: Request) -> bool:
        """Whether a request that is put on a GPU was in service as the run began."""
        return request.ask == request.attempt == 0 and self.crowd.habit[request.user].standing == IN_SERVICE

    def passes(self, request: Request, pool: TogetherPool, gpu: int) -> float:
        """How many passes of its GPU a request takes after its opening."""
        who = self.crowd.key[request.user], request.ask, request.attempt
        steps = pool.steps[request.spec][pool.row(gpu)]
        how = pool.whole, steps.passes, steps.first
        laws = *self.lengths[request.feature], *self.noises[request.spec]
        return float(passes_needed(*how, *laws, self.is_begun(request), self.seed, *who))

    def loading(self, head: Request, pool: Pool, gpu: int) -> float:
        """How long this GPU loads a model before it serves the batch that `head` is the first of."""
        if not pool.loads(gpu, head.spec) or self.is_begun(head):
            return 0.0
        key, k = self.crowd.key[head.user], head.ask * ATTEMPTS + head.attempt
        return float(load_seconds(*pool.load, self.seed, key, k))

    def finish(self, request: Request) -> None:
        """An image is done; if its user is still there, the request is served."""
        request.finished = self.env.now
        self.gateway.released(request.user)
        done, request.done = request.done, None  # the log outlives the run's events
        wish = self.open.get((request.user, request.ask))
        if request.outcome is None:
            self.serve(request)
            done.succeed()  # type: ignore[attr-defined]
        elif wish is not None and self.batches[request.batch].fate != CANCELLED:  # type: ignore[index]
            self.deliver(request, wish)

    def serve(self, request: Request) -> None:
        request.outcome = SERVED
        self.open.pop((request.user, request.ask), None)
        self.gateway.succeeded()
        self.counts.served[request.tier][request.feature] += 1
        self.counts.latency[request.tier][request.feature] += self.env.now - request.arrived

    def deliver(self, request: Request, wish: Open) -> None:
        """An image is done whose user had given it up and still wants it: they wait no longer for another."""
        request.left, request.retry = math.nan, False
        self.serve(request)
        wish.image = request
        present = wish.present
        if present is not None and present.outcome is None:
            self.abandon(present)
        elif present is not None:  # it was refused, and nobody said so
            present.retry = False
        wish.news.succeed()

    def telemetry(self, waitlisted: int) -> Telemetry:
        """The telemetry that a policy may see now; counts are since the tick before."""
        counts = self.counts
        return Telemetry(
            now=self.env.now,
            pools={name: pool.telemetry() for name, pool in zip(self.scenario.pools, self.pools, strict=True)},
            arrivals=read_only(counts.arrivals),
            refused=read_only(counts.refused),
            served=read_only(counts.served),
            waited=read_only(counts.waited),
            started=read_only(counts.started),
            latency=read_only(counts.latency),
            signups=counts.signups,
            waitlisted=waitlisted,
            active=self.active,
        )

    def log(self) -> Log:
        for pool in self.pools:
            pool.close()
        outcomes = {outcome: code for code, outcome in enumerate(OUTCOMES)}
        fields = ("user", "ask", "attempt", "tier", "feature", "asked", "spec", "level", "reason", "retry", "notified")
        requests = {name: column(self.requests, name, np.int64) for name in fields}
        times = ("arrived", "started", "dequeued", "finished", "left", "gpu_seconds")
        tokens = OF_TOKENS if self.scenario.counts_tokens else ()
        requests |= {name: column(self.requests, name, float) for name in (*times, *tokens)}
        requests["outcome"] = np.array([outcomes[r.outcome or UNFINISHED] for r in self.requests], dtype=np.int64)
        requests["batch"] = np.array([-1 if r.batch is None else r.batch for r in self.requests], dtype=np.int64)
        batches = {name: column(self.batches, name, np.int64) for name in ("pool", "gpu", "spec", "size")}
        batches |= {
            name: column(self.batches, name, float) for name in ("started", "finished", "seconds", "loading", "power")
        }
        gpus = [pool.gpus if pool.unlimited else pool.own for pool in self.pools]
        return Log(requests, batches, self.crowd.columns(), gpus, killed=self.killed())

    def killed(self) -> Columns:
        """The requests whose work was lost, each with the batch it was in."""
        rows = [kill for pool in self.pools for kill in pool.killed]
        places = {id(request): place for place, request in enumerate(self.requests)} if rows else {}
        return {
            "request": np.array([places[id(request)] for request, _ in rows], dtype=np.int64),
            "batch": np.array([batch.number for _, batch in rows], dtype=np.int64),
            "gpu_seconds": np.array([batch.seconds / len(batch.requests) for _, batch in rows]),
        }


def column(rows: list[Any], name: str, kind: Any) -> np.ndarray:
    return np.fromiter((getattr(row, name) for row in rows), dtype=kind, count=len(rows))
