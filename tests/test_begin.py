"""Begin from now: a run split in two goes on as the whole one does, and a state is read from runs, metrics and YAML."""

from dataclasses import replace

import numpy as np
import pytest

from sim.cli.options import beginning
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.gateway_metrics import openmetrics
from sim.results.intervals import paired_difference
from sim.results.service_state import state_from, state_of_run
from sim.scenario.begin import Fleet, OnOrder, State, Waiting, begun
from sim.studies.shadow import with_telemetry
from tests.random_scenarios import plain

CUT = 480.0  # seconds


def surge(**more):
    """A fleet of 40 GPUs that is overloaded for five minutes and then works off what waits."""
    return plain(
        horizon="20 min",
        pools={"gpus": {"gpus": 40}},
        demand=[
            {"kind": "steady", "rate": "1.2 per s", "account_age": "1 year", "name": "base"},
            {"kind": "spike", "people": 700, "lasting": "5 min", "from": "4 min"},
        ],
        behaviour={
            "requests": {"kind": "negative binomial", "mean": 2, "r": 1},
            "think": {"kind": "exponential", "mean": "30 s"},
            "patience": {"kind": "lognormal", "median": "90 s", "sigma": 1.0},
            "retry": {"at_most": 3, "probability": 0.5, "backoff": {"kind": "exponential", "mean": "20 s"}},
        },
        serving={"noise": {"kind": "lognormal", "cv": 0.3}, "notices_leaving": True},
        **more,
    )


SOON = 3600.0  # s: a person whose next attempt is later is not there any more


def state_at(run, at):
    """The state of a run that is cut at an instant, with the people of the whole run who ask again soon after it."""
    rows, times = run.requests, ["started", "dequeued", "finished", "left"]
    came = rows[rows["arrived"] <= at]
    cut = came.assign(**{name: came[name].where(came[name] <= at) for name in times})
    manifest = {**run.manifest, "horizon": at}
    found = state_of_run(replace(run, requests=cut, fleet=run.fleet[run.fleet["time"] <= at], manifest=manifest))
    return found.model_copy(update={"thinking": thinking(rows, at, run.scale)})


def thinking(rows, now, scale):
    """People between an attempt that is over and one that comes soon, by tier."""
    ends = rows[["finished", "left"]].min(axis=1).fillna(rows["arrived"])
    table = rows.assign(ends=ends)[["user", "tier", "arrived", "ends"]].sort_values(["user", "arrived"])
    following = table.groupby("user")["arrived"].shift(-1)
    between = (table["ends"] <= now) & (following > now) & (following - table["ends"] < SOON)
    counts = table.loc[between, "tier"].value_counts()
    return {str(tier): float(n) / scale for tier, n in counts.items() if n}


@pytest.fixture(scope="module")
def halves():
    """Runs of the whole, and of their second parts begun from the state in which the first left the service."""
    scenario = surge()
    whole = [simulate(scenario, seed=seed) for seed in range(1, 13)]
    rest = [simulate(scenario, begin=state_at(run, CUT), seed=seed) for seed, run in enumerate(whole, 1)]
    return whole, rest


def done(run, begin: float, end: float, column: str = "finished") -> int:
    times = run.requests[column]
    return int(((times > begin) & (times <= end)).sum())


@pytest.mark.parametrize("column", ["finished", "left"])
@pytest.mark.parametrize("length", [120.0, 700.0])
def test_a_run_split_in_two_has_the_means_of_the_unbroken_run(halves, column, length):
    whole, rest = halves
    first = [done(run, CUT, CUT + length, column) for run in whole]
    second = [done(run, 0, length, column) for run in rest]
    apart = paired_difference(second, first)
    assert apart.low - 0.02 * np.mean(first) <= 0 <= apart.high + 0.02 * np.mean(first)
    assert np.mean(second) == pytest.approx(np.mean(first), rel=0.06)


def test_the_people_who_come_later_are_the_same_people(halves):
    whole, rest = halves
    after = whole[0].users["arrives"][whole[0].users["arrives"] > CUT] - CUT
    theirs = rest[0].users[rest[0].users["wave"].isin(["base", "spike 1"])]["arrives"]
    assert theirs.to_numpy() == pytest.approx(after.to_numpy(), abs=1e-6)


def test_dates_of_playbooks_stay_where_they_are_and_gpus_on_order_come():
    playbooks = {"later": [{"policy": {"kind": "limit", "requests": 100}, "from": "10 min", "until": "12 min"}]}
    fleet = {"gpus": Fleet(gpus=30, on_order=[OnOrder(gpus=10, at="9 min")])}
    rest = begun(surge(playbooks=playbooks), State(at="8 min", pools=fleet))
    run = simulate(rest, "later")
    limits = run.decisions[run.decisions["knob"] == "limit"]
    assert limits["time"].tolist() == [120.0, 240.0]
    assert run.fleet[["time", "change"]].to_numpy().tolist() == [[0.0, 30.0], [60.0, 10.0]]
    assert rest.horizon == 720.0


def test_a_state_that_does_not_fit_is_refused(tmp_path):
    scenario = surge()
    for state, message in (
        (State(at="1 hour"), "not within the scenario"),
        (State(requests=[Waiting(feature="video", queued=3)]), "no such feature"),
        (State(thinking={"pro": 3}), "no such tier"),
        (State(pools={"fleet": Fleet(gpus=3)}), "no such pool"),
        (State(requests=[Waiting(feature="image", queued=3, waited=("9 s", "5 s"))]), "no two waits"),
    ):
        with pytest.raises(BadInput, match=message):
            begun(scenario, state)
    file = tmp_path / "state.yaml"
    file.write_text("requests:\n  - {feature: image, queued: 3, waitd: [0 s, 5 s]}\n")
    with pytest.raises(BadInput, match="waitd"):
        state_from(file, scenario)


def test_a_state_is_what_its_file_says(tmp_path):
    file = tmp_path / "state.yaml"
    file.write_text(
        "at: 8 min\nrequests:\n  - {feature: image, tier: free, queued: 3, waited: [0 s, 5 s], in_service: 40}\n"
        "thinking: {free: 1.5k}\npools: {gpus: {gpus: 38}}\n"
    )
    state = state_from(file, surge())
    assert (state.thinking, state.pools["gpus"].gpus) == ({"free": 1500.0}, 38)
    assert state.requests == [Waiting(feature="image", tier="free", queued=3, waited=("0 s", "5 s"), in_service=40)]


def test_a_gateways_metrics_say_what_its_tables_say(tmp_path):
    scenario = surge()
    run, ticks = with_telemetry(scenario)
    file = tmp_path / "metrics.om"
    lines = list(openmetrics(scenario, run, [seen for seen in ticks if seen.now <= CUT]))
    file.write_text("".join(line for line in lines if "wanted" not in line))
    found, told = state_from(file, scenario), state_at(run, CUT)
    for name in ("queued", "in_service"):
        assert sum(getattr(one, name) for one in found.requests) == sum(getattr(one, name) for one in told.requests)
    assert found.thinking["free"] > 0
    assert found.at == told.at


def test_one_scrape_of_a_server_says_how_many_run_and_wait(tmp_path):
    file = tmp_path / "metrics.txt"
    file.write_text(
        '# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0"} 6\n'
        'vllm:num_requests_running{engine="1"} 5\nvllm:num_requests_waiting{engine="0"} 4\n'
        "vllm:request_queue_time_seconds_sum 900.0\nvllm:request_queue_time_seconds_count 1000\n"
    )
    state = state_from(file, surge())
    assert state.requests == [Waiting(feature="image", queued=4, waited=("0 s", "1.8 s"), in_service=11)]
    assert "has waited" in state.notes[0]


@pytest.mark.parametrize("before", ["", "\ufeff", "# scraped at noon\n"])
def test_a_page_of_metrics_counts_the_latest_value_of_each_series(tmp_path, before):
    file = tmp_path / "metrics.txt"
    lines = [
        'vllm:num_requests_running{engine="0"} 6 1746532800000',
        'vllm:num_requests_running{engine="0"} 7 1746532860000',
        'vllm:num_requests_running{engine="1"} 5 1746532860000',
        "vllm:num_requests_waiting 4",
    ]
    file.write_text(before + "\n".join(lines))
    found = state_from(file, surge())
    assert sum(one.in_service for one in found.requests) == pytest.approx(12)
    assert sum(one.queued for one in found.requests) == pytest.approx(4)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
def test_a_gauge_without_a_value_is_refused(tmp_path, value):
    file = tmp_path / "metrics.txt"
    file.write_text(f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running {value}\n")
    with pytest.raises(BadInput, match="this gauge has no value"):
        state_from(file, surge())


def test_a_fleet_is_sought_for_the_state_of_now_without_its_gpus(tmp_path):
    state = tmp_path / "state.yaml"
    state.write_text(
        "at: 8 min\nrequests: [{feature: image, queued: 400, waited: [0 s, 60 s]}]\npools: {gpus: {gpus: 7}}\n"
    )
    scenario = surge()
    now, sought = beginning(scenario, state), beginning(scenario, state, fleets=False)
    assert [one.pools["gpus"].gpus for one in (now, sought)] == [7, scenario.pools["gpus"].gpus]
    assert sought.horizon == scenario.horizon - CUT
    assert [wave.kind for wave in sought.demand.waves].count("standing") == 1
