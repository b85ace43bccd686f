"""The readable engine's people as lists that grow: all that is known of each, and what became of them."""

import math

import numpy as np
from numpy.typing import NDArray

from sim.demand.clockwork import Clockwork
from sim.model.chance import character, day_of_return
from sim.model.streams import ACTIVITY, LIFE, REGION, RETURN, draw
from sim.results.log import Columns
from sim.scenario.habits import Habit, habits_of
from sim.scenario.people import People, ages_of, newcomers_of, tiers_of
from sim.scenario.scenario import Scenario

Floats = NDArray[np.float64]


class Crowd:
    """One entry per person in each list: people known beforehand by arrival, then the invited by theirs."""

    def __init__(self, scenario: Scenario, people: People, seed: int):
        self.scenario, self.seed = scenario, seed
        self.arrives, self.key = people.arrives.tolist(), people.key.tolist()
        self.source, self.tier, self.region = people.source.tolist(), people.tier.tolist(), people.region.tolist()
        self.newcomer = newcomers_of(scenario)[people.source].tolist()
        self.born = (people.arrives - ages_of(scenario)[people.source]).tolist()
        self.invited_by = [-1] * len(people)
        self.admitted = [math.nan] * len(people)
        self.left = [math.nan] * len(people)  # gave up on the waitlist, or churned
        self.arrived = 0  # people so far, without those behind scripts
        habits = habits_of(scenario)
        self.kinds, self.by_source = habits.kinds, habits.by_source
        self.habit: list[Habit] = []
        self.activity: list[float] = []
        self.loyalty: list[float] = []  # the factor on a person's chance of coming back
        self.fate: list[float] = []  # a uniform draw: how early a person leaves for good
        self.regions = np.cumsum([region.share for region in scenario.demand.regions.values()])[:-1]
        self.clock = Clockwork(scenario.demand.season, scenario.demand.regions, scenario.start)
        for user, key in enumerate(self.key):
            self.draw_character(user, key)

    def __len__(self) -> int:
        return len(self.arrives)

    def draw_character(self, user: int, key: int) -> None:
        """How a person behaves, how active and loyal they are, and when they leave for good."""
        self.habit.append(self.kinds[self.by_source[self.source[user], self.tier[user]]])
        a = self.habit[user].behaviour.activity
        activity, loyalty = character(a.sigma, a.heavy, a.times, a.loyalty, self.seed, ACTIVITY, key)
        self.activity.append(activity)
        self.loyalty.append(loyalty)
        self.fate.append(draw(self.seed, LIFE, key, 0))

    def tier_of(self, key: int) -> int:
        """The tier of an invited person."""
        return int(tiers_of(self.scenario, np.array([key]), [], self.seed)[0])

    def join(self, key: int, now: float, by: int) -> int:
        """Add an invited person, who arrives now. Their index."""
        self.arrives.append(now)
        self.key.append(key)
        self.source.append(-1)
        self.tier.append(self.tier_of(key))
        self.region.append(int(np.searchsorted(self.regions, draw(self.seed, REGION, key, 0), side="right")))
        self.newcomer.append(True)
        self.born.append(now)
        self.invited_by.append(by)
        self.admitted.append(math.nan)
        self.left.append(math.nan)
        self.draw_character(len(self) - 1, key)
        return len(self) - 1

    def day_after(self, user: int, day: int, using: Floats, staying: Floats) -> int:
        """The day, counted from admission, on which a person comes back after `day`; len(using) if on none."""
        clock, since = self.clock, self.admitted[user]
        who = self.fate[user], self.loyalty[user]
        when = clock.flat, clock.by_weekday, since, day, clock.local[self.region[user]]
        return int(day_of_return(using, staying, *who, *when, draw(self.seed, RETURN, self.key[user], day)))

    def back_at(self, user: int, day: int, u: float) -> float:
        """The instant, `day` days after admission, at which a person comes back, by the hours their region keeps."""
        return self.clock.on_day(self.admitted[user], day, self.region[user], u)

    def columns(self) -> Columns:
        """The users of a run's log: one row per person."""
        whole = ("tier", "source", "region", "newcomer", "invited_by")
        found = {name: np.array(getattr(self, name), dtype=np.int64) for name in whole}
        return found | {name: np.array(getattr(self, name), dtype=float) for name in ("arrives", "admitted", "left")}
