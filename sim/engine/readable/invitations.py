"""The readable engine's word of mouth: served images are shared, and some of those who see them sign up."""

from collections.abc import Callable
from functools import partial

from simpy import Event

from sim.demand.word_of_mouth import WordOfMouth
from sim.engine.clock import SIGNUP, Clock
from sim.engine.readable.crowd import Crowd
from sim.model.chance import poisson_of, sample
from sim.model.choices import is_new_here, shares_image, signup_instant
from sim.model.request import Request
from sim.model.streams import ATTEMPTS, INVITATION, INVITED, draw, offspring
from sim.scenario.scenario import Scenario


class Invitations:
    """People whom images bring, each under a key drawn from the user who shared and the number of the ask."""

    def __init__(self, env: Clock, scenario: Scenario, crowd: Crowd, seed: int, begin: Callable[[int], None]):
        assert scenario.demand.word_of_mouth is not None
        self.env, self.crowd, self.seed, self.begin, self.horizon = env, crowd, seed, begin, scenario.horizon
        self.word: WordOfMouth = scenario.demand.word_of_mouth
        self.market = self.word.market * scenario.scale
        self.openings = scenario.openings()

    def share(self, user: int, request: Request, *, late: bool) -> None:
        """A user got an image: perhaps it is shared, and brings people later."""
        word, key, ask = self.word, self.crowd.key[user], request.ask
        if not shares_image(word.shared, late, word.late, request.level, word.degraded, self.seed, key, ask):
            return
        for number in range(poisson_of(word.signups, draw(self.seed, INVITED, key, ask))):
            child = offspring(self.seed, INVITATION, key, ask * ATTEMPTS + number)
            when = self.env.now + sample(*word.delay.law, self.seed, INVITATION, child, 0)
            if when < self.horizon:
                self.env.at(when, SIGNUP, user, partial(self.arrive, child, user))

    def arrive(self, key: int, by: int, _: Event) -> None:
        """A person who saw the image signs up, unless they are here already or have to wait for an opening."""
        comes = signup_instant(self.env.now, *self.openings[self.crowd.tier_of(key)], self.seed, key)
        if comes > self.env.now:
            if comes < self.horizon:
                self.env.at(comes, SIGNUP, by, partial(self.arrive, key, by))
        elif is_new_here(self.crowd.arrived, self.market, self.seed, key):
            self.begin(self.crowd.join(key, self.env.now, by))
