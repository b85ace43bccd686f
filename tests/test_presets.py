"""Each preset passes through the milestones that were published, and a scenario can put it where it wants."""

import copy
import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from sim.cli.main import app
from sim.demand.waves.launches import expanded, presets
from sim.demand.waves.signups import AnyWave, wave_instants
from sim.units import count, seconds

HOUR, DAY = 3600.0, 86400.0
PRESETS = presets()
by_name = pytest.mark.parametrize("name", PRESETS)


def people(name, *times):
    return PRESETS[name].cumulative(np.array(times))


def rms(name, milestones):
    """Root mean square of the logarithm of people over what was published, as a share."""
    times, published = zip(*milestones, strict=True)
    return float(np.sqrt(np.mean(np.log(people(name, *times) / np.array(published)) ** 2)))


# What was published.


def test_chatgpt_2022_passes_through_its_three_points():
    assert rms("chatgpt-2022", [(5 * DAY, 1e6), (31 * DAY, 57e6), (62 * DAY, 100e6)]) < 0.02


def test_threads_is_within_the_error_that_its_fit_states():
    points = [(2 * HOUR, 2e6), (4 * HOUR, 5e6), (7 * HOUR, 10e6), (16 * HOUR, 30e6), (40 * HOUR, 70e6), (5 * DAY, 1e8)]
    assert rms("threads", points) < 0.0245
    # the mode of Weibull's density, at scale (1 - 1 / shape)^(1 / shape)
    u = 1 - 1 / 1.37
    assert PRESETS["threads"].peak_hour() == pytest.approx(101.4e6 * 1.37 / 35.4 * u**u * np.exp(-u), rel=1e-3)


def test_chatgpt_images_has_a_million_in_its_busiest_hour_and_130_million_by_3_april():
    hours = HOUR * np.arange(9 * 24.0)
    new = [wave for wave in PRESETS["chatgpt-images-2025"].curves() if wave.newcomers]
    in_hour = sum(wave.cumulative(hours + HOUR - wave.from_) - wave.cumulative(hours - wave.from_) for wave in new)
    assert in_hour.max() == pytest.approx(1e6, rel=0.02)
    # 'in the last hour' was said on 31 March
    busiest = datetime(2025, 3, 25, 17) + timedelta(seconds=hours[np.argmax(in_hour)])
    assert busiest.date() == date(2025, 3, 31)
    # 130 M users 'since last Tuesday', said on 3 April
    assert people("chatgpt-images-2025", 8.7 * DAY) == pytest.approx(130e6, rel=0.05)


def test_nano_banana_has_10_million_by_day_6_and_23_by_day_14():
    assert rms("nano-banana", [(6 * DAY, 10e6), (14 * DAY, 23e6)]) < 0.02
    steady = np.diff(people("nano-banana", 0, 7 * DAY, 14 * DAY)) / (7 * 24)
    assert steady == pytest.approx(68.5e3, rel=0.01)  # 68 to 69 thousand an hour throughout


def test_nano_bananas_second_wave_has_the_images_of_the_month():
    # 434 images a second on days 6 to 14 became 4,700 on days 14 to 25, at 500 M / 23 M images a new user in all
    second = float(np.diff(people("nano-banana", 14 * DAY, 25 * DAY))[0])
    assert second * 500 / 23 / (11 * DAY) == pytest.approx(4700, rel=0.01)


def test_pokemon_go_is_fifty_plans_and_beyond_the_worst_case_within_15_minutes():
    (wave,) = PRESETS["pokemon-go"].curves()
    assert wave.times == 50
    peak_of_the_plan = float(wave.rate_at(np.linspace(0, 4 * DAY, 10_000)).max())
    assert 50 * wave.rate_at(15 * 60) > 5 * peak_of_the_plan


def test_sora_has_the_counts_of_the_store():
    days = np.diff(people("sora-app", *(DAY * np.arange(8))))
    assert days[:2] == pytest.approx([56e3, 107.8e3])
    assert ((days[2:] > 84e3) & (days[2:] < 98e3)).all()
    assert people("sora-app", 7 * DAY) == pytest.approx(627e3, rel=1e-4)
    assert people("sora-app", 62 * DAY) == pytest.approx(12e6, rel=1e-4)
    # the announced million in five days is another count: so many times as many
    assert 2.27 * people("sora-app", 5 * DAY) == pytest.approx(1e6, rel=0.01)


def test_a_press_hit_has_the_peak_and_the_two_days_of_its_author():
    # launched at 18:24, so day 1 has 5.6 h
    assert PRESETS["press-hit"].peak_hour() < 150 * 60
    (wave,) = PRESETS["press-hit"].curves()
    assert wave.rate_at(0) * 60 == pytest.approx(150, rel=1e-3)
    first, both = people("press-hit", 5.6 * HOUR, 29.6 * HOUR)
    assert both == pytest.approx(18255 + 17112)
    assert first / 18255 == pytest.approx(1.14, abs=0.01)  # as its source says
    assert (both - first) / 17112 == pytest.approx(0.85, abs=0.01)


def test_threads_milestones_are_those_shipped_as_an_example_of_counts():
    path = Path(__file__).parent.parent / "scenarios" / "data" / "threads.csv"
    rows = list(csv.reader(line for line in path.read_text().splitlines() if not line.startswith("#")))
    points = [(seconds(elapsed), count(total)) for elapsed, total in rows[1:]]
    assert rms("threads", points) < 0.0245


# In a scenario.


def waves(*sources):
    return TypeAdapter(list[AnyWave]).validate_python(expanded(list(sources)))


@by_name
def test_a_preset_alone_is_its_waves(name):
    assert waves({"kind": "preset", "name": name}) == PRESETS[name].curves()


@by_name
def test_a_preset_brings_people(name):
    preset, scale = PRESETS[name], 2000 / PRESETS[name].people()
    found = [
        wave_instants(wave, number, begins=wave.from_, horizon=preset.lasting(), scale=scale, seed=1)
        for number, wave in enumerate(preset.curves())
    ]
    z = (sum(map(len, found)) - 0.999 * 2000) / np.sqrt(0.999 * 2000)
    assert abs(z) < 3.5


def test_the_waves_of_a_preset_keep_their_distances():
    first, second = waves({"kind": "preset", "name": "nano-banana", "from": "2 days"})
    assert (first.from_, second.from_) == (2 * DAY, 16 * DAY)
    first, second = waves({"kind": "preset", "name": "nano-banana", "from": "2025-08-26 12:00"})
    assert first.from_ == datetime(2025, 8, 26, 12, tzinfo=UTC)
    assert second.from_ == datetime(2025, 9, 9, 12, tzinfo=UTC)
    assert waves({"kind": "preset", "name": "threads", "from": date(2023, 7, 5)})[0].from_ == datetime(
        2023, 7, 5, tzinfo=UTC
    )


def test_times_multiplies_what_the_preset_has():
    assert waves({"kind": "preset", "name": "pokemon-go", "times": 0.1})[0].times == pytest.approx(5)
    assert [wave.times for wave in waves({"kind": "preset", "name": "nano-banana", "times": 2})] == [2, 2]


def test_tiers_and_account_age_are_the_scenarios_where_it_gives_them():
    given = {"kind": "preset", "name": "chatgpt-images-2025", "tiers": ["free"], "account_age": "1 day"}
    assert [(wave.tiers, wave.account_age) for wave in waves(given)] == [(["free"], DAY)] * 3
    ages = [wave.account_age for wave in waves({"kind": "preset", "name": "chatgpt-images-2025"})]
    assert ages == [0, 0, 365 * DAY]


def test_other_sources_stay_as_they_are_and_nothing_is_changed():
    steady, clients, wrong = {"kind": "steady", "rate": "1/s"}, {"kind": "clients"}, "no source at all"
    given = [steady, {"kind": "preset", "name": "nano-banana"}, clients, wrong]
    before = copy.deepcopy(given)
    found = expanded(given)
    assert (found[0], found[3], found[4]) == (steady, clients, wrong)
    assert len(found) == 5
    assert given == before


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"name": "twitter"}, "0.name: there is no preset 'twitter', expected one of chatgpt-2022, "),
        ({"name": None}, "0.name: expected a text"),
        ({"people": 5}, "0.people: expected no such key"),
        ({"from": "soon"}, "0.from: expected a date and time"),
        ({"times": -1}, "0.times: expected 0 or more"),
        ({"from": "9999-12-30", "name": "nano-banana"}, "from: expected a date that leaves room"),
    ],
)
def test_what_a_preset_cannot_be_is_refused_with_its_place(changes, because):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        expanded([{"kind": "preset", "name": "threads", **changes}])
    assert str(refused.value).startswith(because)


@by_name
def test_every_figure_of_a_preset_says_how_it_is_known(name):
    preset = PRESETS[name]
    assert any(mark in preset.source for mark in ("(P", "(F", "(A"))
    assert any(word in preset.confidence for word in ("high", "medium", "low"))


def test_the_command_lists_and_draws_them(tmp_path):
    done = CliRunner().invoke(app, ["demand", "presets", "--figure", str(tmp_path / "waves.png")])
    assert done.exit_code == 0, done.output
    assert all(name in done.output for name in PRESETS)
    assert (tmp_path / "waves.png").read_bytes().startswith(b"\x89PNG")
