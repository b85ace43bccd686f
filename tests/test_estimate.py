"""What a run takes is estimated before it starts, and refused where the machine cannot hold it."""

import pytest

from sim import load, simulate
from sim.errors import BadInput
from sim.results.metrics import recorded
from sim.results.timeline import ATTEMPTS
from sim.studies import estimate as room
from sim.studies.estimate import Estimate, estimate, refuse_too_large


@pytest.mark.parametrize("name", ["steady", "retry-storm", "launch-2022"])
def test_attempts_are_within_thirty_per_cent(name):
    scenario = load(name)
    found = recorded(simulate(scenario))
    expected = estimate(scenario)
    assert expected.attempts == pytest.approx(float(found.counts[..., ATTEMPTS].sum()), rel=0.3)
    assert expected.people == pytest.approx(found.people["everybody"], rel=0.3)


def test_a_machine_that_is_twice_as_slow_takes_twice_as_long(monkeypatch):
    scenario = load("steady", sets={"demand.0.rate": "20 per s"})
    monkeypatch.setattr(room, "pilot_of", lambda *_: None)
    expected = {}
    for slow in (1, 2):
        monkeypatch.setattr(room, "slowness", lambda slow=slow: slow)
        expected[slow] = estimate(scenario).seconds
    assert expected[2] == pytest.approx(2 * expected[1])


def test_ten_years_at_one_request_an_hour_take_less_than_two_gigabytes():
    sets = {"horizon": "10 years", "demand.0.rate": "1 per hour", "record": "timeline"}
    assert estimate(load("steady", sets=sets)).memory < 2e9


@pytest.mark.parametrize(("memory", "seconds", "works"), [(1e9, 60, True), (3e9, 60, False), (1e9, 2e5, False)])
def test_what_the_machine_cannot_hold_is_refused(monkeypatch, memory, seconds, works):
    monkeypatch.setattr(room, "memory_at_hand", lambda: 2e9)
    found = Estimate(1e6, 1e7, memory, seconds)
    if works:
        refuse_too_large(found)
    else:
        with pytest.raises(BadInput, match="--yes"):
            refuse_too_large(found)
    with pytest.raises(BadInput, match="--yes"):
        refuse_too_large(found, at_once=8)


def test_memory_at_hand_is_a_number_of_bytes():
    assert 1e8 < room.memory_at_hand() < 1e14


def test_the_seconds_of_a_large_run_are_those_of_a_slice_of_a_second_or_two(monkeypatch):
    """Where an attempt takes 0.5 us and all else 0.2 s, whatever the size: twice the attempts, for its demand."""
    monkeypatch.setattr(room, "slowness", lambda: 1.0)
    monkeypatch.setattr(room, "tried", lambda one, *_, **__: (1e9 * one.scale, 1e8 * one.scale, 0.2 + 500 * one.scale))
    found = estimate(load("chatgpt-images-week"))
    assert found.attempts == pytest.approx(1e9)
    ticks = 2 * 50 * 9 * 24 * 60  # in each of its cells, every minute
    assert found.seconds == pytest.approx(room.START_SECONDS + room.TICK_SECONDS * ticks + 2 * 500, rel=1e-6)


def test_the_timelines_of_all_cells_are_in_memory_at_once(monkeypatch):
    """As measured: 3.38 GB for the fifty cells of the week, where a process with one of them takes 0.72 GB."""
    monkeypatch.setattr(room, "pilot_of", lambda *_: None)
    assert estimate(load("chatgpt-images-week")).memory == pytest.approx(3.38e9, rel=0.1)
    assert estimate(load("chatgpt-images-week", sets={"scale": "1/50", "cells": 1})).memory < 1e9
