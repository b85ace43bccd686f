"""One table of knobs: a row says a knob's default, range, unit and scaling, and reports show it by that row."""

import math
from typing import Any

import pytest

from sim.errors import BadInput
from sim.model import knobs as table
from sim.model.controls import Controls, Telemetry
from sim.model.knobs import KNOBS, POOL_KNOBS, REGION_OPEN, RETRY_KNOBS, SIGNUP_RATE, Knob, decided_name, knob_called
from sim.report import tables
from sim.results.verdict import verdict
from tests.random_scenarios import REGIONS
from tests.traces import arriving

SCALE = 1 / 16

# What a policy sets, for the whole service, and what the report of a sixteenth of the service has to show.
GATEWAY: dict[str, tuple[Any, str]] = {
    "open": (0.25, "25 %"),
    "min_age": (432_000, "5 days"),
    "rate": (3 / 60, "3 per minute"),
    "burst": (4, "4 requests"),
    "quota": (12, "12 requests"),
    "window": (7200, "2 h"),
    "kind": ("rolling", "rolling"),
    "concurrency": (2, "2 requests"),
    "queue": (8000, "8 k requests"),
    "wait": (30, "30 s"),
    "shed": (0.6, "60 %"),
    "level": (1, "1"),
    "priority": (2, "2"),
    "limit": (200, "200 requests"),
    "final": (1, "yes"),
    "ration": (160, "160 requests"),
    "sticky": (3600, "60 min"),
    "mixed": (0.5, "50 %"),
    "other": (2, "2"),
    "flow": (3, "3"),
    "weight": (2.5, "2.5"),
}
POOL: dict[str, tuple[Any, str]] = {
    "order": ("last in first out", "last in first out"),
    "expire": (50, "50 s"),
    "foresight": (1, "yes"),
    "codel": ("folly", "folly"),
    "target": (4, "4 s"),
    "interval": (150, "2.5 min"),
    "sharing": ("users", "users"),
    "queues": (64, "64"),
    "hand": (4, "4"),
    "fleet": (32, "32 GPUs"),
    "slowdown": (1.5, "1.5 times"),
    "power": (0.7, "0.7 times"),
    "lost": (32, "32 GPUs"),
    "notice": (120, "2 min"),
}
RETRIES: dict[str, tuple[Any, str]] = {
    "budget": ("success", "success"),
    "ratio": (0.1, "0.1 retries"),
    "bucket": (160, "160 retries"),
    "most": (3, "3 retries"),
    "backoff": ("full jitter", "full jitter"),
    "base": (2, "2 s"),
    "cap": (600, "10 min"),
    "after": (90, "90 s"),
    "spread": (300, "5 min"),
}
SHOWN = {
    **{name.replace("_", " "): words for name, (_, words) in GATEWAY.items()},
    **{f"gpus: {name}": words for name, (_, words) in POOL.items()},
    **{f"retry {name}": words for name, (_, words) in RETRIES.items()},
    "there: open": "30 %",
    "signup rate": "864 k people a day",
}


class EveryKnob:
    """Sets every knob there is."""

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set(**{name: value for name, (value, _) in GATEWAY.items()})
        controls.set_pool(**{name: value for name, (value, _) in POOL.items()})
        controls.set_retries(**{name: value for name, (value, _) in RETRIES.items()})
        controls.set_regions(["there"], open=0.3)
        controls.let_in(10.0)


@pytest.fixture(scope="module")
def shown() -> dict[str, tuple[str, str]]:
    """For each knob that a report of a sixteenth of the service names: the values before and after."""
    run = arriving(
        [],
        [EveryKnob()],
        scale="1/16",
        pools={"gpus": {"gpus": 16, "max_batch": 1}},
        demand={"waves": [{"kind": "steady", "rate": "1 per day"}], "regions": REGIONS},
    )
    return {row[2]: (row[-2], row[-1]) for row in tables.decisions(verdict(run)).rows}


def test_every_knob_of_the_table_is_looked_at_here():
    assert list(GATEWAY) == KNOBS.names
    assert list(POOL) == POOL_KNOBS.names
    assert list(RETRIES) == RETRY_KNOBS.names


@pytest.mark.parametrize("name", SHOWN)
def test_a_report_shows_every_knob_of_the_whole_service_in_its_unit(shown, name):
    assert shown[name][1] == SHOWN[name]


def test_a_report_says_what_a_knob_is_without_a_policy(shown):
    assert {shown[name][0] for name in ("limit", "ration", "retry most", "gpus: expire", "signup rate")} == {"no limit"}
    assert shown["gpus: fleet"][0] == "the scenario's"
    assert shown["gpus: order"][0] == "first in first out"
    assert shown["there: open"][0] == "100 %"


def test_a_constant_is_the_index_of_the_knob_of_its_name():
    """Compiled rules read a row of values by these integers."""
    for knobs in (KNOBS, POOL_KNOBS, RETRY_KNOBS):
        for index, knob in enumerate(knobs.knobs):
            constant = getattr(table, knob.name.upper())
            assert type(constant) is int
            assert constant == index


ALL = [*KNOBS.knobs, *POOL_KNOBS.knobs, *RETRY_KNOBS.knobs, REGION_OPEN, SIGNUP_RATE]


@pytest.mark.parametrize("knob", ALL, ids=lambda knob: decided_name(knob))
def test_a_knob_can_have_its_default_and_nothing_below_its_range(knob):
    assert knob.default == math.inf or knob.choices or knob.number(knob.default) == knob.default
    for value in ("no such choice", -1, math.nan):
        with pytest.raises(BadInput) as refused:
            knob.number(value)
        assert refused.value.key == knob.name


def test_only_what_counts_for_the_whole_service_is_scaled():
    assert [knob.name for knob in ALL if knob.scaled] == [
        "queue",
        "limit",
        "ration",
        "fleet",
        "lost",
        "bucket",
        "signup_rate",
    ]


def test_a_fleet_of_a_slice_is_a_whole_number_of_gpus():
    fleet = knob_called("gpus: fleet")
    assert [fleet.number(gpus, 0.1) for gpus in (0, 14, 16, math.inf)] == [0, 1, 2, math.inf]


@pytest.mark.parametrize(
    ("knob", "names"),
    [
        (KNOBS.knobs[table.LIMIT], {}),
        (POOL_KNOBS.knobs[table.ORDER], {"pool": "retry pool: a"}),
        (RETRY_KNOBS.knobs[table.BUCKET], {}),
        (REGION_OPEN, {"region": "europe"}),
        (SIGNUP_RATE, {}),
    ],
)
def test_a_name_in_the_decision_table_leads_back_to_its_knob(knob: Knob, names: dict[str, str]):
    assert knob_called(decided_name(knob, **names)) is knob
