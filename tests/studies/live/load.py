"""The live clients: everybody arrives at an instant stamped beforehand, however the server does, and acts as drawn."""

import numpy as np

from sim.engine.readable.crowd import Crowd
from sim.errors import BadInput
from sim.model.chance import count_of, sample
from sim.model.choices import leaves_for_good, time_until_next, wants_regeneration
from sim.model.knobs import MOST
from sim.model.request import ABANDONED, REFUSED, SERVED, Request
from sim.model.retry import chance_of_retry, own_pause, pause_before_retry
from sim.model.streams import ATTEMPTS, COUNT, FEATURE, PATIENCE, RETRY, draw, pair
from sim.scenario.habits import habits_of
from sim.scenario.scenario import Scenario
from tests.studies.live.clock import RealClock
from tests.studies.live.server import Server

LONGEST = 43200.0  # seconds of a run: before that nobody comes back for another day


class Load:
    """Everybody's life in real time.

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
        """One day of use, which begins at `due`: ask, wait or leave, retry, think, until nothing more is wanted."""
        crowd, key, behaviour = self.crowd, self.crowd.key[user], self.behaviour
        crowd.admitted[user] = due
        if crowd.newcomer[user]:
            crowd.born[user] = due
            self.server.counts.signups += 1
        self.server.active += 1
        wanted = int(count_of(*behaviour.requests.law, crowd.activity[user], draw(self.seed, COUNT, key, 0)))
        ask = 0
        while ask < wanted:
            if ask > 0:
                breaks, think = behaviour.breaks, behaviour.think.law
                pause = time_until_next(breaks.probability, *breaks.lasting.law, *think, self.seed, key, ask)
                due = await self.sleep(pause)
            feature = int(np.searchsorted(self.shares, draw(self.seed, FEATURE, key, ask), side="right"))
            request = await self.want(user, ask, feature, due)
            ask += 1
            served, late = request.outcome == SERVED, self.clock.now - due > self.slo[feature]
            if leaves_for_good(served, late, behaviour.churn, behaviour.churn_late, self.seed, key, ask):
                crowd.left[user] = self.clock.now
                break
            wanted += wants_regeneration(served, request.level, behaviour.regenerate, self.seed, key, ask)
        self.server.active -= 1

    async def want(self, user: int, ask: int, feature: int, due: float) -> Request:
        """Attempts until one is served or the user gives up. The last of them."""
        key, retry, gateway = self.crowd.key[user], self.behaviour.retry, self.server.gateway
        for attempt in range(retry.at_most + 1):
            k = ask * ATTEMPTS + attempt
            self.lateness.append(max(0.0, self.clock.now - due))
            request = self.server.receive(user, feature, ask, attempt, due)
            if request.outcome is None:
                await self.wait_for(request, key, k, due)
            if request.outcome == SERVED or attempt >= min(retry.at_most, gateway.retries[MOST]):
                break
            whether, how_long = pair(self.seed, RETRY, key, k)
            left, chances = request.outcome == ABANDONED, (retry.probability, retry.after_leaving, retry.hopeless)
            if whether >= chance_of_retry(left, request.reason, *chances) or not gateway.pays_for_retry():
                break
            request.retry = True
            own = own_pause(*retry.backoff.law, retry.growth, retry.longest, attempt, how_long)
            refused, first = request.outcome == REFUSED, ask * ATTEMPTS
            pause = pause_before_retry(gateway.retries, own, refused, True, self.seed, key, first, attempt)
            due = await self.sleep(pause)
        return request

    async def wait_for(self, request: Request, key: int, k: int, due: float) -> None:
        """Wait until a request is over, or patience is."""
        patience = sample(*self.behaviour.patience_law(request.notified), self.seed, PATIENCE, key, k)
        leaving = self.clock.call(due + patience, self.server.leave, request) if patience < np.inf else None
        await request.done  # type: ignore[misc]
        if leaving is not None:
            leaving.cancel()

    async def sleep(self, seconds: float) -> float:
        """Do nothing for some seconds. The instant at which that was due to end."""
        due = self.clock.now + seconds
        await self.clock.until(due)
        return due


def check_playable(scenario: Scenario) -> None:
    """Raises BadInput for what live clients do not do."""
    demand = scenario.demand
    for key, found, expected in (
        ("horizon", scenario.horizon >= LONGEST, "less than 12 h: it takes as long as it says"),
        (
            "demand",
            bool(demand.clients or demand.traces) or len(habits_of(scenario).kinds) > 1,
            "people of one behaviour only",
        ),
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
