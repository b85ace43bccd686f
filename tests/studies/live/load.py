"""The live clients: everybody comes at an instant stamped beforehand, however the server does, and acts as drawn."""

import numpy as np

from sim.engine.readable.crowd import Crowd
from sim.engine.readable.service import ATTEMPTS
from sim.errors import BadInput
from sim.model.chance import count_of, quantile, sample
from sim.model.gateway import HOPELESS
from sim.model.knobs import MOST
from sim.model.request import ABANDONED, REFUSED, SERVED
from sim.model.retry import pause_before_retry
from sim.model.streams import BREAK, CHURN, COUNT, FEATURE, PATIENCE, PAUSE, REGENERATE, RETRY, THINK, draw, pair
from sim.scenario.scenario import Scenario
from tests.studies.live.clock import RealClock
from tests.studies.live.pool import Attempt
from tests.studies.live.server import Server

LONGEST = 43200.0  # seconds of a run, before which nobody comes back for another day


class Load:
    """Everybody's life, as the simulator's readable engine has it, in real time.

    Patience, and the latency that the log gives, count from when an attempt was due, not from when it was sent.
    """

    def __init__(self, clock: RealClock, scenario: Scenario, crowd: Crowd, server: Server, seed: int):
        self.clock, self.crowd, self.server, self.seed = clock, crowd, server, seed
        self.behaviour, features = scenario.behaviour, list(scenario.features.values())
        self.shares, self.slo = np.cumsum([f.share for f in features])[:-1], [f.slo for f in features]
        self.lateness: list[float] = []  # seconds from when each attempt was due to when it was sent

    async def play(self) -> None:
        """Everybody arrives when it was stamped."""
        for user, instant in enumerate(self.crowd.arrives):
            await self.clock.until(instant)
            self.clock.spawn(self.life(user, instant))

    async def life(self, user: int, due: float) -> None:
        """One day of use: ask, wait or leave, retry, think, until nothing more is wanted. `due`: when it begins."""
        crowd, key = self.crowd, self.crowd.key[user]
        crowd.admitted[user] = due
        if crowd.newcomer[user]:
            crowd.born[user] = due
            self.server.signups += 1
        self.server.active += 1
        wanted = int(count_of(*self.behaviour.requests.law, crowd.activity[user], draw(self.seed, COUNT, key, 0)))
        ask = 0
        while ask < wanted:
            if ask > 0:
                due = await self.sleep(self.until_next(key, ask))
            feature = int(np.searchsorted(self.shares, draw(self.seed, FEATURE, key, ask), side="right"))
            request = await self.want(user, ask, feature, due)
            ask += 1
            late = self.clock.now() - due > self.slo[feature]
            if draw(self.seed, CHURN, key, ask) < self.chance_of_leaving(request, late=late):
                crowd.left[user] = self.clock.now()
                break
            degraded = request.outcome == SERVED and request.level > 0
            wanted += degraded and draw(self.seed, REGENERATE, key, ask) < self.behaviour.regenerate
        self.server.active -= 1

    async def want(self, user: int, ask: int, feature: int, due: float) -> Attempt:
        """One wish come true or given up: attempts until one is served. The last of them."""
        key, retry = self.crowd.key[user], self.behaviour.retry
        for attempt in range(retry.at_most + 1):
            k = ask * ATTEMPTS + attempt
            self.lateness.append(max(0.0, self.clock.now() - due))
            request = self.server.ask(user, feature, ask, attempt, due)
            if request.outcome is None:
                await self.wait_for(request, k)
            if request.outcome == SERVED or attempt >= min(retry.at_most, self.server.retries[MOST]):
                break
            whether, how_long = pair(self.seed, RETRY, key, k)
            if whether >= self.chance_of_retry(request) or not self.server.pays_for_retry():
                break
            request.retry = True
            own = min(quantile(*retry.backoff.law, how_long) * retry.growth**attempt, retry.longest)
            told, first = request.outcome == REFUSED, ask * ATTEMPTS
            due = await self.sleep(pause_before_retry(self.server.retries, own, told, self.seed, key, first, attempt))
        return request

    async def wait_for(self, request: Attempt, k: int) -> None:
        """Wait until a request is over, or patience is."""
        law = self.behaviour.patience_notified if request.notified else self.behaviour.patience
        patience = sample(*law.law, self.seed, PATIENCE, request.key, k)
        leaving = None
        if patience < np.inf:
            leaving = self.clock.at(request.arrived + patience, self.server.leave, request)
        await request.done  # type: ignore[misc]
        if leaving is not None:
            leaving.cancel()

    async def sleep(self, seconds: float) -> float:
        """Do nothing for so long. The instant at which that was due to end."""
        due = self.clock.now() + seconds
        await self.clock.until(due)
        return due

    def chance_of_retry(self, request: Attempt) -> float:
        retry = self.behaviour.retry
        if request.outcome == ABANDONED:
            return retry.after_leaving
        return retry.hopeless if request.reason in HOPELESS else retry.probability

    def chance_of_leaving(self, request: Attempt, *, late: bool) -> float:
        if request.outcome != SERVED:
            return self.behaviour.churn
        return self.behaviour.churn_late if late else 0.0

    def until_next(self, key: int, ask: int) -> float:
        """Seconds from an image, or from giving up on it, to wanting the next: a thought, or a break."""
        breaks = self.behaviour.breaks
        if breaks.probability > 0 and draw(self.seed, BREAK, key, ask) < breaks.probability:
            return float(sample(*breaks.lasting.law, self.seed, PAUSE, key, ask))
        return float(sample(*self.behaviour.think.law, self.seed, THINK, key, ask))


def check_playable(scenario: Scenario) -> None:
    """Raises BadInput for what live clients do not do."""
    demand = scenario.demand
    for key, found, expected in (
        ("horizon", scenario.horizon >= LONGEST, "less than 12 h: it takes as long as it says"),
        ("demand.clients", bool(demand.clients or demand.traces), "waves of people only"),
        ("demand.word_of_mouth", demand.word_of_mouth is not None, "none"),
        ("demand.regions", bool(demand.regions), "none"),
        ("features", any(len(f.ladders()) > 1 for f in scenario.features.values()), "one number of images each"),
        ("serving.delivers_late", scenario.serving.delivers_late, "false"),
        ("serving.tells_refusals", not scenario.serving.tells_refusals, "true"),
        ("behaviour.retry.second_account", scenario.behaviour.retry.second_account > 0, "0"),
        ("cells", scenario.played_cells > 1, "1"),
    ):
        if found:
            raise BadInput("a live run cannot play this scenario", key=key, expected=expected)
