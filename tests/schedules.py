"""Schedules to export in tests: made by hand, and of a run."""

import csv
from functools import cache

from sim.engine.simulate import simulate
from sim.export.schedule import schedule_of
from sim.scenario.load import load
from tests.tables import attempt, run_of

URL = "http://staging.example/v1/images"


@cache
def steady_run():
    """A run on an unlimited fleet: one ask a second, for two hours."""
    return simulate(load("steady"), unlimited=True)


def by_hand(*attempts, **facts):
    return run_of(*attempts, **{"scenario": {}, "versions": {}, **facts})


def at(*instants, **facts):
    """The schedule of asks at these instants, each of another user, until the horizon at 100 s."""
    return schedule_of(by_hand(*(attempt(t, user=n) for n, t in enumerate(instants)), **facts))


def read(folder):
    with (folder / "schedule.csv").open(newline="") as file:
        return list(csv.DictReader(file))
