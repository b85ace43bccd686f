"""The SimPy engine's word of mouth: served images are shared, and some of those who see them sign up."""

import math
from collections.abc import Callable
from functools import partial

from simpy import Event

from sim.demand.word_of_mouth import WordOfMouth
from sim.engine.clock import SIGNUP, Clock
from sim.engine.readable.crowd import Crowd
from sim.engine.readable.service import ATTEMPTS
from sim.model.chance import poisson_of, sample
from sim.model.request import Request
from sim.model.streams import CONVERT, INVITATION, INVITED, OPENING, SHARE, draw, offspring
from sim.scenario.scenario import Scenario


class Invitations:
    """People whom images bring, each under a key that depends only on whose image it was and which."""

    def __init__(self, env: Clock, scenario: Scenario, crowd: Crowd, seed: int, begin: Callable[[int], None]):
        assert scenario.demand.word_of_mouth is not None
        self.env, self.crowd, self.seed, self.begin, self.horizon = env, crowd, seed, begin, scenario.horizon
        self.word: WordOfMouth = scenario.demand.word_of_mouth
        self.market = self.word.market * scenario.scale
        self.openings = scenario.openings()

    def share(self, user: int, request: Request, *, late: bool) -> None:
        """A user got an image: perhaps it is shared, and brings people later."""
        word, key, ask = self.word, self.crowd.key[user], request.ask
        chance = word.shared * (word.late if late else 1.0) * (word.degraded if request.level > 0 else 1.0)
        if draw(self.seed, SHARE, key, ask) >= chance:
            return
        for number in range(poisson_of(word.signups, draw(self.seed, INVITED, key, ask))):
            child = offspring(self.seed, INVITATION, key, ask * ATTEMPTS + number)
            when = self.env.now + sample(*word.delay.law, self.seed, INVITATION, child, 0)
            if when < self.horizon:
                self.env.at(when, SIGNUP, user, partial(self.arrive, child, user))

    def arrive(self, key: int, by: int, _: Event) -> None:
        """Somebody who saw the image is about to sign up, unless they are here already, or must wait for an opening."""
        at, pent_up, within = self.openings[self.crowd.tier_of(key)]
        if self.env.now < at:
            later = at - within * math.log(draw(self.seed, OPENING, key, 1))
            if draw(self.seed, OPENING, key, 0) < pent_up and later < self.horizon:
                self.env.at(later, SIGNUP, by, partial(self.arrive, key, by))
        elif draw(self.seed, CONVERT, key, 0) < 1.0 - self.crowd.arrived / self.market:
            self.begin(self.crowd.join(key, self.env.now, by))
