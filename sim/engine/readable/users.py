"""The readable engine's users: a person's life with the service is a generator, read from top to bottom."""

import math
from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
from simpy import Event

from sim.demand.behaviour import Retry
from sim.engine.clock import ABANDON, ASK, SIGNUP, Clock
from sim.engine.readable.crowd import Crowd
from sim.engine.readable.invitations import Invitations
from sim.engine.readable.service import Open, Service
from sim.engine.readable.waitlist import Waitlist
from sim.model.chance import count_of, sample
from sim.model.choices import leaves_for_good, time_until_next, wants_regeneration
from sim.model.knobs import MOST
from sim.model.passes import lags
from sim.model.request import ABANDONED, REFUSED, SERVED, Request
from sim.model.retry import chance_of_retry, opens_second_account, own_pause, pause_before_retry
from sim.model.standing import patience_left, waited
from sim.model.streams import ATTEMPTS, COUNT, FEATURE, IMAGES, PATIENCE, RETRY, RETURN_TIME, draw, pair
from sim.scenario.habits import Habit
from sim.scenario.people import ANY, Asks
from sim.scenario.scenario import Scenario

DAY = 86400.0


class Users:
    """Everybody who arrives: people, whose life it plays, and programs that follow a script."""

    def __init__(
        self, env: Clock, scenario: Scenario, crowd: Crowd, asks: Asks, service: Service, waitlist: Waitlist, seed: int
    ):
        self.env, self.crowd, self.service, self.waitlist, self.seed = env, crowd, service, waitlist, seed
        self.tells_refusals = scenario.serving.tells_refusals
        features = list(scenario.features.values())
        regions = list(scenario.demand.regions) or [""]
        self.feature_shares = [np.cumsum(scenario.shares_of_features(region))[:-1].tolist() for region in regions]
        self.slo = [feature.slo for feature in features]
        self.token_slo = [(feature.slo_first_token, feature.slo_per_token) for feature in features]
        self.images = [list(feature.ladders()) for feature in features]
        self.image_shares = [np.cumsum(list(feature.images.values()))[:-1].tolist() for feature in features]
        self.first_script = len(scenario.demand.waves)
        self.retries = [source.retries for source in scenario.demand.scripted]
        days = math.ceil(scenario.horizon / DAY) + 1
        returns = {id(habit): habit.behaviour.returns for habit in crowd.kinds}
        self.using = {who: law.using(days) for who, law in returns.items()}  # by days since arrival
        self.staying = {who: law.staying(days) for who, law in returns.items()}
        self.invitations: Invitations | None = None
        if scenario.demand.word_of_mouth is not None:
            self.invitations = Invitations(env, scenario, crowd, seed, self.begin)
        env.process(self.arrive())
        env.process(self.play(asks))

    def arrive(self) -> Generator[Event, Any, None]:
        """Begin each person's life at the instant they arrive."""
        crowd = self.crowd
        for user in range(len(crowd)):  # those known beforehand; the invited begin on their own
            if crowd.source[user] >= self.first_script:
                crowd.admitted[user] = crowd.arrives[user]
                continue
            yield self.env.at(crowd.arrives[user], SIGNUP, user)
            self.begin(user)

    def begin(self, user: int) -> None:
        """Begin the life of a person who has just arrived."""
        self.crowd.arrived += 1
        self.env.process(self.life(user))

    def life(self, user: int) -> Generator[Event, Any, None]:
        """Sign up; then on each day of use ask, wait or leave, retry, think; churn or come back another day."""
        crowd, key = self.crowd, self.crowd.key[user]
        if crowd.newcomer[user]:
            self.service.counts.signups += 1
            if not (yield from self.waitlist.passes(user, key)):
                crowd.left[user] = self.env.now
                return
            crowd.born[user] = self.env.now  # the account is as old as the admission
        crowd.admitted[user] = self.env.now
        habit = crowd.habit[user]
        using, staying = self.using[id(habit)], self.staying[id(habit)]
        ask, day, failed = 0, 0, False
        while day < len(using):
            self.service.active += 1
            number, wanted = 0, self.requests_on(user, day)
            while number < wanted:
                if number > 0:
                    yield self.pause(self.until_next(habit, key, ask, failed=failed), user)
                since = self.env.now
                feature, images = self.wish(user, ask, habit.feature if ask or not habit.standing else habit.first)
                request = yield from self.want(user, ask, feature, images)
                ask, failed = ask + 1, request.outcome != SERVED
                if self.leaves_for_good(request, user, ask, late=self.is_late(request, since)):
                    crowd.left[user] = self.env.now
                    self.service.active -= 1
                    return
                wanted += self.wants_regeneration(request, user, ask)
                number += 1
            self.service.active -= 1
            day = crowd.day_after(user, day, using, staying)
            if day == len(using):
                return  # not before the horizon
            back = crowd.back_at(user, day, draw(self.seed, RETURN_TIME, key, day))
            yield self.env.at(max(back, self.env.now), ASK, user)

    def play(self, asks: Asks) -> Generator[Event, Any, None]:
        """Play the scripted asks, each at its instant whatever became of those before."""
        numbers: dict[int, int] = {}
        for instant, user, feature, images in zip(
            asks.instants.tolist(), asks.user.tolist(), asks.feature.tolist(), asks.images.tolist(), strict=True
        ):
            yield self.env.at(instant, ASK, user)
            ask = numbers[user] = numbers.get(user, -1) + 1
            chosen, variant = self.wish(user, ask, feature)
            if images != ANY:
                variant = self.images[chosen].index(images)
            again = self.retries[self.crowd.source[user] - self.first_script]
            self.env.process(self.want(user, ask, chosen, variant, again=again))

    def wish(self, user: int, ask: int, feature: int = ANY) -> tuple[int, int]:
        """The feature wanted, and the index of the number of images in those it offers."""
        key = self.crowd.key[user]
        if feature == ANY:
            feature = place(self.feature_shares[self.crowd.region[user]], draw(self.seed, FEATURE, key, ask))
        shares = self.image_shares[feature]
        return feature, place(shares, draw(self.seed, IMAGES, key, ask)) if shares else 0

    def want(
        self, user: int, ask: int, feature: int, images: int, *, again: bool = True
    ) -> Generator[Event, Any, Request]:
        """Try until one attempt is served or the wish is given up. The last attempt."""
        behaviour, since, gateway = self.crowd.habit[user].behaviour, self.env.now, self.service.gateway
        key, retry = self.crowd.key[user], behaviour.retry
        wish = self.service.begin(user, ask)
        for attempt in range(retry.at_most + 1):
            k = ask * ATTEMPTS + attempt
            request = self.service.ask(user, feature, images, ask, attempt)
            if attempt == 0:
                feature = request.feature  # the wish counts where it went first
            if wish is not None:
                wish.present = request
            if request.outcome is None or not self.tells_refusals:
                patience = self.patience_with(user, k, notified=request.notified)
                if patience < math.inf:
                    request.timed = True
                    over = self.env.at(self.env.now + patience, ABANDON, user, partial(self.left_waiting, request))
                if request.outcome is None:
                    yield self.until(request.done, wish)
                elif request.timed:  # it was refused, and nobody said so
                    request.retry = True
                    yield self.until(over, wish)
            if wish is not None:
                request, wish.present = wish.image or request, None
            if request.outcome == SERVED:
                self.share(user, request, since)
                break
            request.retry = False
            if not again or attempt >= min(retry.at_most, gateway.retries[MOST]):
                break
            whether, how_long = pair(self.seed, RETRY, key, k)
            if opens_second_account(request.reason, retry.second_account, self.seed, key, k):
                self.service.new_account(user)
            elif whether >= chance_of(retry, request) or not gateway.pays_for_retry():
                break
            request.retry = True
            own = own_pause(*retry.backoff.law, retry.growth, retry.longest, attempt, how_long)
            answer = request.outcome == REFUSED, self.tells_refusals
            pause = pause_before_retry(gateway.retries, own, *answer, self.seed, key, ask * ATTEMPTS, attempt)
            yield self.until(self.pause(pause, user), wish)
            if wish is not None and wish.image is not None:
                request = wish.image
                self.share(user, request, since)
                break
        self.service.open.pop((user, ask), None)
        return request

    def patience_with(self, user: int, k: int, *, notified: bool) -> float:
        """Seconds for which a person waits with their k-th attempt: what is left of them, if it stood here already."""
        habit, key = self.crowd.habit[user], self.crowd.key[user]
        law = habit.behaviour.patience_law(notified)
        if k == 0 and habit.standing:
            return float(patience_left(*law, draw(self.seed, PATIENCE, key, k), waited(self.crowd.arrives[user])))
        return float(sample(*law, self.seed, PATIENCE, key, k))

    def until(self, event: Any, wish: Open | None) -> Event:
        """Wait for the event, or for news of a late image."""
        return event if wish is None else self.env.any_of([event, wish.news])

    def share(self, user: int, request: Request, since: float) -> None:
        """Have an image shared, perhaps, which may bring people."""
        person = self.crowd.source[user] < self.first_script and not self.crowd.habit[user].program
        if self.invitations is not None and person:
            self.invitations.share(user, request, late=self.is_late(request, since))

    def is_late(self, request: Request, since: float) -> bool:
        """Whether what is served now to somebody who has wanted it since then is not in time."""
        now, of = self.env.now, request.feature
        return now - since > self.slo[of] or bool(
            lags(since, request.first_token, now, request.tokens, *self.token_slo[of])
        )

    def left_waiting(self, request: Request, _: Event) -> None:
        """Patience with a request is over; perhaps the image came first."""
        self.service.leave(request)

    def leaves_for_good(self, request: Request, user: int, ask: int, *, late: bool) -> bool:
        """Whether this person never comes back after a wish that ended so. ask: the number of the next wish."""
        behaviour, key = self.crowd.habit[user].behaviour, self.crowd.key[user]
        churn, churn_late = behaviour.churn, behaviour.churn_late
        return bool(leaves_for_good(request.outcome == SERVED, late, churn, churn_late, self.seed, key, ask))

    def wants_regeneration(self, request: Request, user: int, ask: int) -> bool:
        """Whether this person asks once more because the image was degraded."""
        served, chance = request.outcome == SERVED, self.crowd.habit[user].behaviour.regenerate
        key = self.crowd.key[user]
        return bool(wants_regeneration(served, request.level, chance, self.seed, key, ask))

    def requests_on(self, user: int, day: int) -> int:
        """The number of images this person wants on this day of use."""
        u = draw(self.seed, COUNT, self.crowd.key[user], day)
        return int(count_of(*self.crowd.habit[user].behaviour.requests.law, self.crowd.activity[user], u))

    def until_next(self, habit: Habit, key: int, ask: int, *, failed: bool) -> float:
        """Seconds from the end of one wish to the next."""
        breaks, think = habit.behaviour.breaks, habit.behaviour.think
        pause = float(time_until_next(breaks.probability, *breaks.lasting.law, *think.law, self.seed, key, ask))
        return pause + habit.pause if failed else pause

    def pause(self, seconds: float, user: int) -> Event:
        return self.env.at(self.env.now + seconds, ASK, user)


def chance_of(retry: Retry, request: Request) -> float:
    """How likely a person is to try again after this attempt."""
    left = request.outcome == ABANDONED
    return float(chance_of_retry(left, request.reason, retry.probability, retry.after_leaving, retry.hopeless))


def place(bounds: list[float], u: float) -> int:
    """The piece of [0, 1) that u falls into, given the inner bounds."""
    return int(np.searchsorted(bounds, u, side="right"))
