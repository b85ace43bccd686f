"""The verdict says no more than the tables: life, pools, counts and sentences, each on a run written by hand."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from sim import load, simulate, verdict
from sim.results.metrics import stretches
from sim.results.pool_verdict import pool_sentence
from sim.results.verdict import cost_sentence, life, sentences, signups
from sim.wording import percent
from tests.tables import MANIFEST, attempt, run_of

RULE = MANIFEST["alive"]  # windows of 10 s; 80 % kept in 90 % of them; 10 % of all asks in time
POOL = MANIFEST["pools"]["gpus"]


def asks(window, *, kept, missed=0, refused=0):
    """Attempts of people of their own in one window of 10 s: served in time, late, or refused."""
    at, user = window * 10.0, window * 1000
    rows = [attempt(at, user=user + n, started=at, finished=at + 5) for n in range(kept)]
    rows += [attempt(at, user=user + 300 + n, started=at, finished=at + 11) for n in range(missed)]
    return [*rows, *(attempt(at, user=user + 600 + n, refused="shed") for n in range(refused))]


def life_of(*windows, **rule):
    run = run_of(*(row for window in windows for row in window), alive={**RULE, **rule})
    return life(run)


# Life.


def test_a_window_is_good_that_kept_its_promises():
    found = life_of(asks(0, kept=4, missed=1), asks(1, kept=3, missed=2))
    assert (found.good_windows, found.dead, found.attainment) == (0.5, [(10, 20)], 0.7)
    assert not found.alive


def test_alive_takes_enough_good_windows():
    nine_of_ten = [*(asks(n, kept=1) for n in range(8)), asks(8, kept=0, missed=1)]
    assert not life_of(*nine_of_ten).alive  # 8 of 9
    assert life_of(*nine_of_ten, windows=8 / 9).alive


# Where a product of the share and the total, or one less the share that was let down, is rounded to the wrong side.
@pytest.mark.parametrize(
    ("promised", "total"), [(7, 100), (14, 50), (27, 25), (55, 100), (17, 20), (32, 25), (80, 20), (99, 25)]
)
def test_exactly_the_promised_share_is_enough(promised, total):
    kept = math.ceil(promised * total / 100)
    window = asks(0, kept=kept, missed=total - kept)
    exact = kept * 100 / total / 100 if kept * 100 != promised * total else promised / 100
    assert life_of(window, kept=exact).good_windows == 1


def test_promises_are_made_to_the_granted_only():
    found = life_of(asks(0, kept=4, missed=1, refused=20))
    assert found.good_windows == 1
    assert found.alive  # 4 of 25 asks is above the floor


def test_refusing_nearly_everybody_is_not_life():
    found = life_of(asks(0, kept=1, refused=19))
    assert (found.good_windows, found.attainment, found.alive) == (1, 0.05, False)


def test_a_window_in_which_all_were_refused_is_neither_good_nor_bad():
    found = life_of(asks(0, kept=1), asks(1, kept=0, refused=1))
    assert (found.good_windows, found.dead) == (1, [])


def test_refusing_everybody_is_not_life():
    assert not life_of(asks(0, kept=0, refused=3)).alive


def test_refusing_everybody_breaks_no_promise_where_there_is_no_floor():
    assert life_of(asks(0, kept=0, refused=3), attainment=0.0).alive


def test_nobody_asked_and_nobody_was_let_down():
    found = life_of()
    assert found.alive
    assert math.isnan(found.good_windows)
    assert math.isnan(found.attainment)


def test_who_has_waited_less_than_the_slo_at_the_horizon_has_not_been_let_down():
    assert life_of([attempt(95)]).alive
    assert not life_of([attempt(85)]).alive


def test_who_left_has_been_let_down():
    assert not life_of([attempt(0, left=5)]).alive


def test_windows_begin_after_the_warm_up():
    run = run_of(*asks(0, kept=0, missed=9), *asks(1, kept=1), attempt(24, started=24, finished=50), warm_up=5.0)
    found = life(run)
    assert [begin for begin, _ in found.dead] == pytest.approx([24 - (24 - 5) % (95 / round(95 / 10))])


def test_a_retry_is_a_promise_of_its_own_but_not_an_ask():
    rows = [attempt(0, refused="shed", retry=True), attempt(20, number=1, started=20, finished=25)]
    found = life_of(rows)
    assert (found.good_windows, found.attainment) == (1, 0)


# Pools.


def pool_of(*attempts, **facts):
    (found,) = verdict(run_of(*attempts, **facts)).pools
    return found


FULL = tuple(attempt(0, user=user, started=0, seconds=200) for user in (0, 1))  # both GPUs, beyond the horizon


def test_peak_load_is_that_of_the_busiest_hour():
    """Three hours; in the second 1,800 images of 4 GPU-seconds are wanted of two GPUs, and asked for twice."""
    rows = [attempt(3600 + 2 * n, user=n, refused="shed", retry=True) for n in range(1800)]
    again = [attempt(3601 + 2 * n, user=n, number=1, refused="shed") for n in range(1800)]
    found = pool_of(*rows, *again, horizon=10800.0)
    assert (found.peak_load, found.gpus) == (1.0, 2)


def peak(seconds, work, loading=0.0):
    return {"seconds": seconds, "at": 0.0, "work": work, "loading": loading}


def load_text(*attempts, work, **facts):
    return text_of(*attempts, offered_load={"gpus": [peak(600, work, work / 4), peak(3600, work / 2)]}, **facts)


def test_a_load_above_the_fleet_that_did_not_saturate_it_is_explained():
    text = load_text(attempt(0, started=0, finished=4), attempt(50, user=1, refused="shed"), work=3.0)
    assert "Pool 'gpus' is never saturated." in text
    assert "in GPUs of work, 3 over ten minutes and 1.5 over an hour (one image at a time, 25 % of it model" in text
    assert "more than the fleet, but refused and degraded requests kept the pool from falling behind" in text


def test_a_load_that_was_kept_away_is_not_called_short():
    """Three GPUs of work were offered over ten minutes, and 0.04 came: nobody was refused, so they came elsewhere."""
    text = load_text(attempt(0, started=0, finished=4), work=3.0)
    assert "more than the fleet, but at most 0.04 GPUs of work over ten minutes came in this run" in text
    one = {"share": 1, "pool": "gpus", "slo": "9 s", "spec": {"model": "model", "side": 2}}
    elsewhere = {**MANIFEST["scenario"], "features": {"image": {**one, "spill": {"to": ["video"]}}}}
    text = load_text(attempt(0, started=0, finished=4), work=3.0, scenario=elsewhere)
    assert "but other pools served a part of its requests, so that at most 0.04 GPUs of work" in text


def test_a_short_peak_that_came_in_full_is_called_short():
    found = verdict(run_of(*FULL, offered_load={"gpus": [peak(600, 2.1)]}))
    pool = dataclasses.replace(found.pools[0], came=2.0)
    said = pool_sentence(found.run, pool, alive=True, counts=found.counts)
    assert "but its peak was too short to keep the pool behind" in said


def test_a_pool_that_is_behind_when_the_warm_up_ends_did_not_saturate_then():
    text = text_of(*FULL, *crowd(0), warm_up=10.0)
    assert "Pool 'gpus' is saturated already when the warm-up ends, after 10 s (" in text


def test_a_run_in_which_nothing_is_decided_is_neither_alive_nor_dead_in_words():
    text = text_of(attempt(95))
    assert text.startswith("NOTHING WAS DECIDED under playbook 'none': every request is still inside")
    assert "ALIVE" not in text


def test_a_load_below_a_fleet_that_failed_is_not_called_enough():
    text = load_text(*FULL, *crowd(0), work=1.5)
    assert "That is less than the fleet, and yet it failed: work alone does not say how many GPUs are enough." in text


def crowd(arrived, number=40, *, user=100, **more):
    return tuple(attempt(arrived, user=user + n, **more) for n in range(number))


def test_who_is_in_the_queue_at_the_horizon_is_counted():
    waiting = (attempt(99.5, user=2), attempt(99.9, user=3), attempt(50, user=4, left=60), attempt(0, user=5, left=99))
    assert pool_of(*FULL, *waiting).queued_at_horizon == 2
    assert pool_of(*FULL, *waiting, notices_leaving=False).queued_at_horizon == 4


def test_what_filled_a_pool_is_that_of_its_saturated_time():
    """Until 50 s videos that leave no queue; from then on images, with a queue."""
    videos = [attempt(0, user=n, started=0, finished=50, feature="video") for n in (0, 1)]
    images = [attempt(50, user=n, started=50, finished=100) for n in (2, 3)]
    found = pool_of(*videos, *images, *crowd(50))
    assert (found.first_saturated, found.saturated, found.saturated_at_horizon) == (50, 50, True)
    assert found.consumed.set_index("feature")["share"].to_dict() == {"image": 1}
    never = pool_of(*videos).consumed  # then of the whole run
    assert never.set_index("feature")["share"].to_dict() == {"video": 1}


def test_a_pool_is_judged_after_the_warm_up():
    early = [attempt(0, user=n, started=0, finished=50) for n in (0, 1)]
    found = pool_of(*early, *(attempt(0, user=n, left=45) for n in (2, 3, 4)), warm_up=50.0)
    assert math.isnan(found.first_saturated)
    assert (found.saturated, found.peak_load, found.peak_queue) == (0, 0, 0)


def test_stretches_join_neighbouring_bins():
    flags = pd.Series([True, True, False, True], index=[0.0, 10.0, 20.0, 30.0])
    assert stretches(flags, 45.0) == [(0, 20), (30, 45)]
    assert stretches(flags & False, 45.0) == []


# Counts and costs.


def test_goodput_counts_images_in_time_as_they_were_asked_for():
    rows = (*asks(0, kept=3, missed=1), attempt(0, started=1, finished=2, user=9, level=1))
    found = verdict(run_of(*rows))
    assert found.goodput == 0.03
    found = verdict(run_of(*rows, *asks(5, kept=5), warm_up=50.0))
    assert found.goodput == 0.1


def test_goodput_counts_every_image_of_a_request():
    specs = {label: {**facts, "images": 4} for label, facts in MANIFEST["specs"].items()}
    assert verdict(run_of(*asks(0, kept=3), specs=specs)).goodput == 0.12


def test_signups_are_let_in_lost_or_waiting():
    waitlist = ({"arrives": 5}, {"arrives": 6, "left": 9}, {"arrives": 7, "left": 8}, {"arrives": 8, "admitted": 20})
    run = run_of(attempt(0), waitlist=waitlist, left={0: 50.0})
    assert signups(run) == {"came": 5, "let_in": 2, "lost": 2, "waiting": 1, "invited": 0}
    assert verdict(run).churned == 1


def test_counts_are_scaled_to_the_whole_service():
    found = verdict(run_of(*asks(0, kept=3), scale=0.1))
    assert (found.counts["served"], found.full(found.counts["served"])) == (3, pytest.approx(30))
    assert found.dollars == pytest.approx(2)  # always of the whole service


# Words.


def text_of(*attempts, **facts):
    return "\n".join(sentences(verdict(run_of(*attempts, **facts))))


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (60.0, "of the 50 s windows kept their promise"),  # two fit best into the 100 s; "60 s windows" was said
        (3600.0, "its one window, of 100 s, broke its promise"),  # and of this, "0 % of the 60 min windows"
    ],
)
def test_windows_of_life_are_spoken_of_as_they_are(window, said):
    attempts = [*asks(0, kept=1, missed=3), *asks(60, kept=2)]
    alive = {"window": window, "kept": 0.8, "windows": 0.9, "attainment": 0.1}
    assert said in text_of(*attempts, alive=alive)


def test_sentences_of_a_run_by_hand():
    text = text_of(*asks(0, kept=4, missed=1), attempt(50, user=7, refused="shed", retry=True), scale=0.001)
    assert text.startswith("ALIVE under playbook 'none': 100 % of the 10 s windows kept their promise, and 66.7 %")
    assert "6 k requests: 5 k served (0 of them degraded), 0 lost, 1 k unfinished. They took 6 k attempts" in text
    assert "of which 1 k were refused, 0 were abandoned and 0 were retries." in text
    assert "Pool 'gpus' is never saturated" in text
    assert "A slice of 1/1000 of people and GPUs was simulated" in text


def test_sentences_of_a_saturated_pool():
    text = text_of(*FULL, *crowd(0, 1, user=90, left=50), *crowd(0))
    assert text.startswith("NOT ALIVE")
    assert "Pool 'gpus' saturates after 0 s (Wed 01 Jan 2025 00:00 UTC) and is saturated for 100 s in total." in text
    assert "The longest queue was 41 requests, not drained by the horizon." in text
    assert "While it was saturated, 100 % of its GPU time was spent on free-tier image requests." in text
    assert "OVERLOADED AT THE HORIZON: gpus is still saturated" in text


def test_sentences_of_a_run_to_which_nobody_came():
    found = verdict(run_of())
    assert found.life.alive
    assert not found.overloaded_at_horizon
    assert math.isnan(found.pools[0].drain) or found.pools[0].drain == 0
    text = "\n".join(sentences(found))
    assert "nan" not in text
    assert "0 requests: 0 served" in text


def test_several_features_are_named_with_their_shares_and_what_of_each_is_in_time():
    text = text_of(
        *[attempt(i, user=i, started=i, finished=i + 1) for i in range(3)], attempt(9, user=9, feature="video")
    )
    assert "4 requests (75 % image, 100 % in time; 25 % video, none decided): 3 served" in text


def test_latency_quantiles_are_in_the_words():
    text = text_of(
        *[attempt(i, user=i, started=i, finished=i + 4) for i in range(99)], attempt(1, user=99, refused="shed")
    )
    assert "Latency of all requests: median 4 s, p95 4 s, p99 4 s; of those that were served, from their last" in text
    assert "p99 never" in text_of(*asks(0, kept=1), attempt(1, user=9, refused="shed"))
    assert "there is no latency" in "\n".join(sentences(verdict(run_of())))


def test_a_verdict_is_short_at_a_prompt_and_whole_in_a_notebook():
    found = verdict(run_of(*asks(0, kept=2), playbook="<b>"))
    assert len(repr(found)) < 300
    assert len(repr(found.run)) < 300
    assert "&lt;b&gt;" in found._repr_html_()
    assert "<b>" not in found._repr_html_()


def test_extrapolated_specs_are_named():
    assert "EXTRAPOLATED: service times of model/2px lie" in text_of(extrapolated=["model/2px"])


def test_shares_and_dates_are_in_words():
    assert (percent(0.123456), percent(1), percent(math.nan)) == ("12.3 %", "100 %", "none")
    assert run_of().date(90_000) == "Thu 02 Jan 2025 01:00"


# Small simulations.


def test_the_steady_service_is_alive():
    found = verdict(simulate(load("steady")))
    assert found.life.alive
    assert (found.life.good_windows, found.life.attainment, found.life.dead) == (1, 1, [])
    assert math.isnan(found.pools[0].first_saturated)
    assert found.dollars == pytest.approx(4 * 6600 / 3600 * 2.5)


def test_demand_of_nothing_is_a_verdict_too():
    found = verdict(simulate(load("steady", sets={"demand": [{"kind": "steady", "rate": 0}]})))
    assert found.life.alive
    assert found.counts["intents"] == 0
    assert "nan" not in "\n".join(sentences(found))


def test_the_parts_of_a_verdict_agree():
    scenario = load("steady", sets={"pools.gpus.gpus": 1, "behaviour.patience": {"kind": "constant", "value": "1 min"}})
    found = verdict(simulate(scenario))
    counts = found.counts
    assert not found.life.alive
    assert counts["intents"] == counts["served"] + counts["lost"] + counts["unfinished"]
    assert found.refused["refused"].sum() == counts["refused"]
    assert found.latency.loc[("served", "wait", "all"), "n"] <= counts["served"] + counts["attempts"]
    assert found.pools[0].consumed["share"].sum() == pytest.approx(1)
    assert all(np.isfinite(value) for value in found.energy.values())
    assert dataclasses.replace(found.pools[0], gpus=2).saturated_at_horizon


def test_a_short_outage_is_no_fleet_that_was_large_enough():
    """Five minutes without a GPU, in which the queue grows: an hourly mean of the fleet would hide them."""
    outage = [{"policy": {"kind": "outage"}, "from": "60 min", "until": "65 min"}]
    patience = {"kind": "constant", "value": "30 s"}
    storm = {"playbooks": {"outage": outage}, "behaviour.patience": patience, "demand.0.rate": "1.9 per s"}
    found = verdict(*[simulate(load("steady", sets=storm), "outage", unlimited=free) for free in (False, True)])
    text = "\n".join(sentences(found))
    assert found.pools[0].fleet == (0.0, 4.0)
    assert "If its 0 to 4 GPUs held nobody back" in text
    assert "That is less than the fleet" not in text


def test_a_price_per_image_says_that_chats_are_counted_where_some_pool_serves_them():
    for name, noun in (("steady", "image"), ("chat-beside-images", "image or chat")):
        run = simulate(load(name, sets={"horizon": "20 min", "warm_up": "0 s"}), seed=1)
        assert f" per {noun} in time)" in cost_sentence(verdict(run))
