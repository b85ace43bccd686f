"""Sources of people: multiplied waves, waves of some tiers, tiers let in at a date, regions and their hours."""

import math

import numpy as np
import pytest

from sim.demand.clockwork import Clockwork
from sim.demand.season import Region, Season
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.chance import weight_of_day
from sim.scenario.people import people_of
from sim.units import moment
from tests.random_scenarios import plain

DAY, HOUR = 86400.0, 3600.0
TIERS = {"free": {"share": 0.8}, "plus": {"share": 0.2}}
CROWD = {"kind": "spike", "people": 4000, "lasting": "8 h"}


def people(demand, *, seed=1, **settings):
    return people_of(plain(demand=demand, tiers=TIERS, **{"horizon": "1 day", **settings}), seed)[0]


def test_a_wave_can_come_so_many_times_over():
    n = len(people([{**CROWD, "times": 2.5}]))
    assert abs(n - 10_000) / 100 < 3.5
    assert len(people([{**CROWD, "times": 0}, {**CROWD, "people": 1}])) < 10


def test_a_taller_wave_brings_the_same_people_earlier():
    once, twice = people([CROWD]), people([{**CROWD, "times": 2}])
    n = min(len(once), len(twice))
    assert (twice.arrives[:n] <= once.arrives[:n]).all()
    assert twice.tier[:n].tolist() == once.tier[:n].tolist()


def test_a_wave_may_be_of_some_tiers_only():
    assert set(people([{**CROWD, "tiers": ["plus"]}]).tier) == {1}
    with pytest.raises(BadInput, match="no tier 'pro'"):
        people([{**CROWD, "tiers": ["pro"]}])


def test_a_tier_is_let_in_when_it_is_opened_and_some_come_who_had_wanted_to():
    opening = {"at": "4 h", "pent_up": 0.5, "within": "1 h"}
    everybody = people([CROWD])
    found = people({"waves": [CROWD], "openings": {"free": opening}})
    free, before = found.arrives[found.tier == 0], everybody.arrives[everybody.tier == 0]
    assert free.min() >= 4 * HOUR
    early = (before < 4 * HOUR).sum()
    came = len(free) - (before >= 4 * HOUR).sum()
    assert abs(came - early / 2) / math.sqrt(early / 4) < 3.5
    plus = everybody.arrives[everybody.tier == 1]
    assert found.arrives[found.tier == 1].tolist() == plus.tolist()
    late = np.setdiff1d(free, before) - 4 * HOUR
    assert abs(late.mean() - HOUR) / (HOUR / math.sqrt(len(late))) < 3.5


def test_an_opening_is_of_a_tier_that_exists():
    with pytest.raises(BadInput, match="no tier 'gold'"):
        people({"waves": [CROWD], "openings": {"gold": {"at": "1 h"}}})


def test_people_live_in_regions_by_their_shares():
    regions = {"here": {"share": 0.3}, "there": {"share": 0.7, "zone": "Asia/Tokyo"}}
    found = people({"waves": [CROWD], "regions": regions})
    n = len(found)
    assert abs((found.region == 0).sum() - 0.3 * n) / math.sqrt(n * 0.21) < 3.5
    run = simulate(plain(demand={"waves": [{**CROWD, "people": 20}], "regions": regions}, horizon="8 h"))
    assert set(run.users["region"]) <= {"here", "there"}


def test_each_region_comes_at_its_own_hours():
    regions = {"london": {"share": 0.5, "zone": "UTC"}, "tokyo": {"share": 0.5, "zone": "Asia/Tokyo"}}
    steady = {"kind": "steady", "rate": "20k per day"}
    season = {"daily_peak_to_mean": 3, "peak_hour": 18}
    found = people({"waves": [steady], "regions": regions, "season": season})
    hours = found.arrives % DAY / DAY * 2 * math.pi
    for region, local in ((0, 18), (1, 9)):  # Tokyo's evening is nine hours before London's
        mine = np.exp(1j * hours[found.region == region])
        peak = np.angle(mine.mean()) / (2 * math.pi) * 24 % 24
        # The error of a mean direction is 1 / sqrt(n R kappa) (Mardia and Jupp 2000); kappa is 1.74 here.
        spread = 24 / (2 * math.pi) / math.sqrt(len(mine) * abs(mine.mean()) * 1.74)
        assert abs(peak - local) / spread < 3.5


def test_shares_of_regions_add_up_and_zones_exist():
    with pytest.raises(BadInput, match="regions: the shares must add up to 1"):
        people({"waves": [CROWD], "regions": {"here": {"share": 0.3}}})
    with pytest.raises(BadInput, match="a time zone by its IANA name"):
        people({"waves": [CROWD], "regions": {"here": {"share": 1, "zone": "Atlantis"}}})


def test_people_come_back_at_the_hours_and_on_the_days_of_their_region():
    season = Season(daily_peak_to_mean=4, peak_hour=20, weekend=0.5)
    clock = Clockwork(season, {"tokyo": Region(share=1, zone="Asia/Tokyo")}, moment("2025-03-24"))  # a Monday, 09:00
    back = np.array([clock.on_day(3 * HOUR, 2, 0, u) for u in (np.arange(500) + 0.5) / 500])
    local = (back + 9 * HOUR) % DAY / HOUR
    assert ((back + 9 * HOUR) // DAY == 2).all()
    assert abs(np.median(local) - 19.6) < 0.5  # the peak, and the evening is cut at midnight
    weekday = 7 / 6
    weights = [weight_of_day(clock.flat, clock.by_weekday, 0.0, day, clock.local[0]) for day in range(7)]
    assert weights == pytest.approx([weekday] * 5 + [weekday / 2] * 2)


def test_a_flat_season_lets_people_come_back_at_any_hour():
    clock = Clockwork(Season(), {}, moment("2025-03-24 12:34"))
    assert clock.on_day(1000.0, 3, 0, 0.25) == 1000 + 2.75 * DAY
    assert weight_of_day(clock.flat, clock.by_weekday, 0.0, 5, 0.0) == 1
