"""The compiled engine's word of mouth: served images are shared, and some of those who see them sign up."""

import numpy as np

from sim.engine.clock import SIGNUP
from sim.engine.compiled.calendar import INVITED, schedule
from sim.engine.compiled.crowd import new_person, remember
from sim.engine.compiled.records import ARRIVED, LIFE, NOBODY, USERS
from sim.engine.compiled.records import INVITED as HOW_MANY_INVITED
from sim.engine.compiled.tally import is_late
from sim.model.chance import place_of, poisson_of, sample
from sim.model.choices import is_new_here, shares_image, signup_instant
from sim.model.jit import njit
from sim.model.streams import ATTEMPTS, INVITATION, REGION, TIER, draw, offspring
from sim.model.streams import INVITED as HOW_MANY


@njit
def share(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """A user got an image: perhaps it is shared, and brings people later."""
    person = s.people[place]
    key, ask = person.key, person.ask
    late = is_late(s, c, s.requests[row], person.since, now)
    if not shares_image(c.shared, late, c.late, s.requests[row].level, c.degraded, c.seed, key, ask):
        return
    kind, a, b = c.delay
    for number in range(poisson_of(c.signups, draw(c.seed, HOW_MANY, key, ask))):
        child = offspring(c.seed, INVITATION, key, ask * ATTEMPTS + number)
        when = now + sample(kind, a, b, c.seed, INVITATION, child, 0)
        schedule(s, c, when, SIGNUP, person.user, INVITED, child)


@njit
def invited(s, c, key, by, now):  # type: ignore[no-untyped-def]
    """A person who saw an image signs up, unless they are here already or have to wait for an opening.

    Their record, or NOBODY.
    """
    tier = place_of(c.tier_bounds, draw(c.seed, TIER, key, 0))
    opens, pent_up, within = c.openings[tier]
    comes = signup_instant(now, opens, pent_up, within, c.seed, key)
    if comes > now:
        schedule(s, c, comes, SIGNUP, by, INVITED, key)
        return NOBODY
    if not is_new_here(s.n[ARRIVED], c.market, c.seed, key):
        return NOBODY
    place = new_person(s, LIFE)
    person = s.people[place]
    person.key, person.user, person.born, person.admitted = key, s.n[USERS], now, np.nan
    person.tier, person.region = tier, place_of(c.region_bounds, draw(c.seed, REGION, key, 0))
    s.n[USERS] += 1
    s.n[HOW_MANY_INVITED] += 1
    remember(s, c, person.user, now, by, NOBODY, tier, person.region, True)
    return place
