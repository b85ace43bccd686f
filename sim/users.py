"""The SimPy engine's users: a person's life with the service is a generator, read from top to bottom."""

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from simpy import Event

from sim.clock import ABANDON, ASK, SIGNUP, Clock
from sim.controls import Controls
from sim.demand.people import People
from sim.request import ABANDONED, SERVED, Request
from sim.rules import HOPELESS, sample
from sim.scenario import Scenario
from sim.service import ATTEMPTS, Service
from sim.streams import BACKOFF, CHURN, COUNT, FEATURE, PATIENCE, RETRY, RETURN, RETURN_TIME, THINK, WAITLIST, draw

DAY = 86400.0


@dataclass(eq=False)
class Newcomer:
    """Someone on the waitlist."""

    user: int
    let_in: Event
    gone: bool = False


class Users:
    """Everybody who arrives, and what becomes of them."""

    def __init__(self, env: Clock, scenario: Scenario, people: People, service: Service, controls: Controls, seed: int):
        self.env, self.service, self.controls, self.seed = env, service, controls, seed
        self.behaviour = scenario.behaviour
        self.arrives, self.keys = people.arrives.tolist(), people.key.tolist()
        self.newcomer = people.newcomer.tolist()
        self.feature_shares = np.cumsum([f.share for f in scenario.features.values()])[:-1].tolist()
        self.requests_a_day = self.behaviour.requests.table()
        days = np.arange(1, math.ceil(scenario.horizon / DAY) + 2)
        returns = self.behaviour.returns
        self.returning = [0.0, *(returns.at_one_day * days**-returns.decay).tolist()]  # by days since arrival
        self.waitlist: deque[Newcomer] = deque()
        self.lots = 0.0  # people the waitlist may let in before the next tick
        self.admitted = np.full(len(people), np.nan)
        self.left = np.full(len(people), np.nan)  # gave up on the waitlist, or churned
        env.process(self.arrive())

    def arrive(self) -> Generator[Event, Any, None]:
        """Begin each person's life at the instant they arrive."""
        for user, instant in enumerate(self.arrives):
            yield self.env.at(instant, SIGNUP, user)
            self.env.process(self.life(user))

    def life(self, user: int) -> Generator[Event, Any, None]:
        """Sign up; then on each day of use ask, wait or leave, retry, think; churn or come back another day."""
        if self.newcomer[user]:
            self.service.signups += 1
            if not (yield from self.sign_up(user)):
                return
        self.admitted[user] = self.env.now
        key, ask, day = self.keys[user], 0, 0
        while day < len(self.returning):
            for number in range(self.requests_on(key, day)):
                if number > 0:
                    yield self.pause(sample(*self.behaviour.think.law, self.seed, THINK, key, ask), user)
                served = yield from self.want(user, ask)
                ask += 1
                if not served and draw(self.seed, CHURN, key, ask) < self.behaviour.churn:
                    self.left[user] = self.env.now
                    return
            day = self.next_day(key, day)
            if day == len(self.returning):
                return  # not before the horizon
            back = self.admitted[user] + (day - 0.5 + draw(self.seed, RETURN_TIME, key, day)) * DAY
            yield self.env.at(max(back, self.env.now), ASK, user)

    def want(self, user: int, ask: int) -> Generator[Event, Any, bool]:
        """One wish for an image: attempts until one is served or the user gives up. Whether it came true."""
        key, retry = self.keys[user], self.behaviour.retry
        feature = np.searchsorted(self.feature_shares, draw(self.seed, FEATURE, key, ask), side="right").item()
        for attempt in range(retry.at_most + 1):
            k = ask * ATTEMPTS + attempt
            request = self.service.ask(user, feature, ask, attempt)
            if request.outcome is None:
                patience = sample(*self.behaviour.patience.law, self.seed, PATIENCE, key, k)
                if patience < math.inf:
                    self.env.at(self.env.now + patience, ABANDON, user, partial(self.left_waiting, request))
                yield request.done  # type: ignore[misc]
            if request.outcome == SERVED:
                return True
            if attempt < retry.at_most and draw(self.seed, RETRY, key, k) < self.chance_of_retry(request):
                request.retry = True
                pause = sample(*retry.backoff.law, self.seed, BACKOFF, key, k) * retry.growth**attempt
                yield self.pause(pause, user)
            else:
                break
        return False

    def left_waiting(self, request: Request, _: Event) -> None:
        """Patience is over; it may be that the image came first."""
        self.service.leave(request)

    def chance_of_retry(self, request: Request) -> float:
        """How likely this person is to try once more after this attempt."""
        retry = self.behaviour.retry
        if request.outcome == ABANDONED:
            return retry.after_leaving
        return retry.hopeless if request.reason in HOPELESS else retry.probability

    def requests_on(self, key: int, day: int) -> int:
        """How many images this person wants on this day of use."""
        return np.searchsorted(self.requests_a_day, draw(self.seed, COUNT, key, day), side="right").item() + 1

    def next_day(self, key: int, day: int) -> int:
        """The next day, counted from arrival, on which this person comes back; past the horizon if none before it."""
        for later in range(day + 1, len(self.returning)):
            if draw(self.seed, RETURN, key, later) < self.returning[later]:
                return later
        return len(self.returning)

    def pause(self, seconds: float, user: int) -> Event:
        return self.env.at(self.env.now + seconds, ASK, user)

    def sign_up(self, user: int) -> Generator[Event, Any, bool]:
        """Through the signup gate, or onto the waitlist behind it. Whether the person got in."""
        if self.controls.signup_rate == math.inf and not self.waitlist:
            return True
        entry = Newcomer(user, self.env.event())
        self.waitlist.append(entry)
        key = self.keys[user]
        patience = sample(*self.behaviour.waitlist_patience.law, self.seed, WAITLIST, key, 0)
        if patience < math.inf:
            self.env.at(self.env.now + patience, ABANDON, user, lambda _: self.give_up(entry))
        yield entry.let_in
        if entry.gone:
            return False
        self.service.born[user] = self.env.now  # the account is as old as the admission
        yield self.pause(0.0, user)  # who is let in at the same tick asks one after the other, GPUs starting between
        return True

    def give_up(self, entry: Newcomer) -> None:
        """A newcomer's patience with the waitlist is over."""
        if not entry.let_in.triggered:
            entry.gone = True
            self.left[entry.user] = self.env.now
            entry.let_in.succeed()

    def waitlisted(self) -> int:
        """People on the waitlist now."""
        while self.waitlist and self.waitlist[0].gone:
            self.waitlist.popleft()
        return sum(not entry.gone for entry in self.waitlist)

    def let_in(self, seconds: float) -> None:
        """Let in those whose turn it is in the `seconds` until the next tick; what is left over is not saved up."""
        rate = self.controls.signup_rate
        lots = self.lots % 1.0 + rate * seconds if rate < math.inf else math.inf
        while self.waitlist and lots >= 1:
            entry = self.waitlist.popleft()
            if not entry.gone:
                entry.let_in.succeed()
                lots -= 1
        self.lots = lots if lots < math.inf else 0.0
