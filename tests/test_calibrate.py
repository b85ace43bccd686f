"""A calibration finds the parameters that made a log, and lists what the log cannot tell."""

import dataclasses
import heapq
import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from sim.calibration.asks import Asks, asks_of, asks_of_run, figures_of
from sim.calibration.calibrate import MISSES, calibrate, fleet
from sim.calibration.estimates import Findings
from sim.calibration.fitted_laws import fitted
from sim.calibration.fitted_people import chance_and_most
from sim.calibration.fitted_wave import unconstrained
from sim.calibration.servers import gaps, mean_and_spread, servers_of
from sim.calibration.throttling import of_service, throttling
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.intervals import says_nothing
from sim.scenario.load import load
from tests.calibrated import SIZED, TRUE, WORDY, known_service, log_of, sized_log, written_log
from tests.recorded import examined


@pytest.fixture(scope="module")
def asks():
    return log_of(known_service(), 1, waits=False)


@pytest.fixture(scope="module")
def calibrated(asks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    return calibrate([written_log(asks, folder / "requests.csv")], seeds=8), folder


def test_every_parameter_is_found_within_a_tenth(calibrated):
    """From a CSV of 10,000 rows without waits; the mean over many logs is the study's (make validate)."""
    found = {one.key: one.value for one in calibrated[0].findings.estimates}
    for key, true in TRUE.items():
        assert found[key] == pytest.approx(true, rel=0.1), key
    assert found["behaviour.retry.backoff.median"] == pytest.approx(10, rel=0.1)
    assert found["pools.gpus.gpus"] == 4
    assert found["limit"] == 60


def test_a_run_at_the_fitted_values_reproduces_the_log(calibrated, asks):
    held = calibrated[0].held.set_index("figure")
    assert (held["fits"] != MISSES).all(), held
    assert held.loc["requests", "seen"] == len(asks) == figures_of(asks)["requests"]


@pytest.mark.parametrize("words", [False, True])
def test_sizes_in_a_log_are_found_with_their_shares_and_seconds(tmp_path, words):
    found = calibrate([sized_log(3, tmp_path / "log.csv", words=words)], seeds=2)
    estimates = {one.key: one for one in found.findings.estimates}
    for key, true in (WORDY if words else SIZED).items():
        assert estimates[key].low <= true <= estimates[key].high, key
        assert estimates[key].high - estimates[key].low < 0.3 * true
    seen = found.held.set_index("figure").loc["latency of those served, mean (s)"]
    assert seen["run"] == pytest.approx(seen["seen"], rel=0.25)  # the lengths of queues vary
    features = found.scenario.document["features"]
    sizes = {(one["spec"].get("side"), one["spec"].get("steps")) for one in features.values()}
    assert words or sizes == {(512, 20), (512, 40), (1024, 20), (1024, 40)}


def test_what_the_log_cannot_tell_is_listed_and_the_scenario_can_be_loaded(calibrated):
    made, folder = calibrated
    assert {"behaviour.churn", "features.slo", "turnaround after service"} <= set(made.findings.unknown)
    files = made.files(folder / "mine.yaml")
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    assert load(str(folder / "mine.yaml")).digest_without("profiles") == made.scenario.digest_without("profiles")
    head = files[folder / "mine.yaml"]
    assert "# behaviour.retry.at_most: 3; of the same likelihood" in head
    assert "requests.csv" in head


def test_waits_in_the_log_give_the_same_servers_as_none(asks):
    with_waits = log_of(known_service(), 1, waits=True)
    one, two = servers_of(with_waits), servers_of(asks)
    assert (one.count, one.high, one.taken_out) == (two.count, two.high, two.taken_out) == (4, 4, True)
    known = np.isfinite(one.service) & np.isfinite(two.service)
    assert np.nanmean(one.service) == pytest.approx(np.nanmean(two.service), rel=0.01)
    assert np.mean(np.abs(one.service - two.service)[known] < 1e-6) > 0.95


def test_a_service_that_is_never_full_does_not_show_how_many_servers_there_are():
    quiet = log_of(known_service().with_(pools={"gpus": {"gpus": 40}}), 1, waits=False)
    assert math.isinf(servers_of(quiet).high)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("by", ["arrivals", "ends"])
def test_a_log_cut_at_full_load_does_not_take_waits_behind_others_for_noise(seed, by):
    """Services spread by 0.2 of 3 and of 5 s; the first ones of the cut waited for requests that it does not hold."""
    whole = log_of(known_service(), seed, waits=False)
    at = whole.arrived + (whole.lasted if by == "ends" else 0)
    rows = (at >= 2700) & (at < 4200)
    names = ("arrived", "lasted", "waited", "status", "user", "kind", "images", "server")
    part = dataclasses.replace(whole, **{name: getattr(whole, name)[rows] for name in names})
    found = servers_of(dataclasses.replace(part, arrived=part.arrived - 2500))
    assert found.count == 4
    for kind, seconds in ((whole.kinds.index("image"), 3.0), (whole.kinds.index("edit"), 5.0)):
        mean, (cv, _, _), _ = mean_and_spread(found.service[part.kind == kind])
        assert mean[0] == pytest.approx(seconds, rel=0.02)
        assert cv == pytest.approx(0.2, abs=0.02)


def of_whole_seconds(seed: int, servers: int, service: float, gaps_between) -> Asks:
    """First come, first served, without waits, by the log of a clock of whole seconds: an end is anywhere in one."""
    rng, free, ends = np.random.default_rng(seed), [0.0] * servers, []
    arrived = np.cumsum(rng.exponential(gaps_between))
    for came in arrived.tolist():
        ends.append(max(came, heapq.heappop(free)) + service)
        heapq.heappush(free, ends[-1])
    lasted, n = np.array(ends) - arrived, len(arrived)
    seen = np.sort(np.floor(ends) + rng.random(n)) - lasted
    order, none = np.argsort(seen), np.full(n, np.nan)
    zeros = np.zeros(n, dtype=np.int64)
    of: dict[str, Any] = {
        "status": np.full(n, 200.0),
        "user": np.arange(n),
        "kind": zeros,
        "images": zeros + 1,
        "server": none,
    }
    more: dict[str, Any] = {"length": float(seen.max()), "named": False, "kinds": ("",), "file": "it", "tick": 1.0}
    return Asks(arrived=seen[order], lasted=lasted[order], waited=none, **of, **more)


def test_a_clock_of_whole_seconds_does_not_exclude_the_true_number_of_servers():
    found = [servers_of(of_whole_seconds(seed, 3, 2.0, np.full(600, 1.6))) for seed in range(1001, 1021)]
    assert sum(one.low <= 3 <= one.high for one in found) >= 16  # of 20 at 95 %, fewer have a chance of 0.3 %


@pytest.mark.parametrize("stamp", ["start", "end", "both"])
@pytest.mark.parametrize(("servers", "service", "cv"), [(1, 2.0, 0.3), (1, 5.0, 1.0), (3, 2.0, 0.3), (8, 2.0, 1.0)])
def test_a_clock_of_whole_seconds_does_not_make_servers_of_waits_that_it_hides(tmp_path, stamp, servers, service, cv):
    rng, free, ends = np.random.default_rng(11), [0.0] * servers, []
    spread, n = math.sqrt(math.log1p(cv**2)), 600
    lasts = service * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    arrived = np.cumsum(rng.exponential(service / servers / np.repeat([0.9, 1.3, 0.7], 200)))
    for came, each in zip(arrived.tolist(), lasts.tolist(), strict=True):
        ends.append(max(came, heapq.heappop(free)) + each)
        heapq.heappush(free, ends[-1])
    lasted = np.array(ends) - arrived
    stamps = np.floor(ends if stamp == "end" else arrived)
    lasted = np.floor(ends) - stamps if stamp == "both" else np.round(lasted, 3)
    rows = np.column_stack([stamps, lasted])[np.argsort(ends if stamp == "end" else arrived)]
    text = "id,time,duration_s\n" + "".join(f"{k},{at:.0f},{each:.3f}\n" for k, (at, each) in enumerate(rows))
    asks = asks_of(examined(tmp_path, text, stamped="end" if stamp == "end" else "start").trace)
    found = servers_of(asks)
    assert asks.tick == 1.0
    assert found.low <= servers <= found.high
    assert np.nanmean(found.service) == pytest.approx(lasts.mean(), abs=0.55)


@pytest.mark.parametrize("stamps", ["all", "of arrivals"])
@pytest.mark.parametrize(("servers", "service"), [(1, 2.0), (3, 2.0), (8, 5.0)])
def test_whole_seconds_make_no_servers_where_waits_are_logged_too(tmp_path, stamps, servers, service):
    rng, free, rows = np.random.default_rng(5), [0.0] * servers, []
    arrived = np.cumsum(rng.exponential(service / servers / np.repeat([0.9, 1.3, 0.7], 200)))
    for came, lasts in zip(arrived.tolist(), rng.gamma(4, service / 4, 600).tolist(), strict=True):
        begins = max(came, heapq.heappop(free))
        heapq.heappush(free, begins + lasts)
        at = [came, begins, begins + lasts]
        if stamps == "all":
            at = np.floor(at).tolist()
        rows.append(f"{len(rows)},{math.floor(came)},{at[1] - at[0]:.3f},{at[2] - at[0]:.3f}\n")
    text = "id,time,wait_s,duration_s\n" + "".join(rows)
    found = servers_of(asks_of(examined(tmp_path, text, stamped="start").trace))
    assert found.count == servers
    assert found.low <= servers <= found.high


def test_servers_whose_services_hardly_differ_are_counted_in_an_overload():
    growing = 2.0 * 0.5 ** np.linspace(0.0, 4.0, 3000)  # a request in 2 s at first, 8 a second at last, for 20 of 10 s
    found = servers_of(of_whole_seconds(1, 20, 10.0, growing))
    assert found.count == 20  # fewer or more leave services that differ by seconds: only one number fits
    assert np.nanmean(found.service) == pytest.approx(10.0, abs=0.1)


def test_patience_hidden_by_service_is_found():
    """Exponential patience of mean 100 s, hidden by services of mean 60 s: the estimate's interval is right."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(40):
        patience, offered = rng.exponential(100, 400), rng.exponential(60, 400)
        law = fitted(np.minimum(patience, offered), patience < offered, ("exponential",))
        value, low, high = law.parameters["mean"]
        n = int((patience < offered).sum())
        assert value == pytest.approx(np.minimum(patience, offered).sum() / n, rel=1e-4)  # its closed form
        assert high / value == pytest.approx(math.exp(1.96 / math.sqrt(n)), rel=0.02)
        held += low <= 100 <= high
    assert held >= stats.binom.ppf(0.001, 40, 0.95)


def test_retries_are_told_from_new_wishes():
    """At most two retries at 0.6, and a given-up wish followed by a new one at 0.5: both are found."""
    rng = np.random.default_rng(5)
    failures, followed = [], []
    for _ in range(4000):
        attempt, row = 1, 1
        while True:
            again = attempt <= 2 and rng.random() < 0.6
            new = not again and rng.random() < 0.5
            failures.append(row)
            followed.append(again or new)
            if not (again or new):
                break
            attempt, row = (attempt + 1 if again else 1), row + 1
    chance, most, (low, high) = chance_and_most(np.array(failures), np.array(followed), 0.5)
    assert most == 2
    assert low <= 0.6 <= high
    assert chance == pytest.approx(0.6, abs=0.03)


def test_the_interval_of_a_retry_ends_where_the_likelihood_has_fallen_by_half_of_chi_square():
    """Of 200 first refusals 140 are followed, and none of answers: bounds of a binomial share by its likelihood."""

    def fallen(p: float) -> float:
        return 140 * math.log(0.7 / p) + 60 * math.log(0.3 / (1 - p)) - stats.chi2.ppf(0.95, 1) / 2

    bounds = optimize.brentq(fallen, 0.4, 0.7), optimize.brentq(fallen, 0.7, 0.9)
    _, _, found = chance_and_most(np.ones(200, dtype=np.int64), np.arange(200) < 140, 0.0)
    assert found == pytest.approx(bounds, abs=1e-4)  # 0.6343 to 0.7609; a step of a grid was 0.0025


@pytest.mark.parametrize("kept", [1.0, 0.5, 0.2])
def test_the_share_of_rows_that_a_log_holds_is_seen_beside_those_who_waited(kept):
    """As a request that waited begins, all other servers are busy, with requests of which a sample holds a share."""
    whole = log_of(known_service(), 1, waits=True)
    rows = np.random.default_rng(1).random(len(whole)) < kept
    names = ("arrived", "lasted", "waited", "status", "user", "kind", "images", "server")
    found = servers_of(dataclasses.replace(whole, **{name: getattr(whole, name)[rows] for name in names}))
    assert found.beside == pytest.approx(kept, abs=0.03)
    said = Findings("log")
    fleet(found, said)
    assert any("a sample?" in note for note in said.notes) is (kept < 1)


def test_who_asks_again_without_a_name_is_not_counted_twice(tmp_path):
    """A log of a bound on four servers that names nobody: each row is a person, and the runs have as many requests."""
    rng, t, free, inside = np.random.default_rng(4), 0.0, [0.0] * 4, []
    rows = ["time,path,status,duration_s,wait_s"]
    while t < 1800.0:
        t += rng.exponential(1 / 3)
        inside = [end for end in inside if end > t]
        if len(inside) >= 12:
            rows.append(f"{t:.3f},/v1/images,503,0.001,0.000")
            continue
        start = max(heapq.heappop(free), t)
        heapq.heappush(free, start + 2.0)
        inside.append(start + 2.0)
        rows.append(f"{t:.3f},/v1/images,200,{start + 2.0 - t:.3f},{start - t:.3f}")
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    found = calibrate([tmp_path / "log.csv"], seeds=3)
    held = found.held.set_index("figure")
    assert held.loc["share refused", "seen"] > 0.2
    assert held.loc["requests", "run"] == pytest.approx(held.loc["requests", "seen"], rel=0.05)
    assert any("nobody retries in the runs" in note for note in found.findings.notes)


def test_counts_at_a_ceiling_are_replaced_by_what_was_behind_them():
    """Lognormal counts of 28 days with effects of day and hour, cut at a limit that a tenth of them reach."""
    rng = np.random.default_rng(6)
    hours = np.arange(28 * 24)
    curve = np.exp(5.5 + 0.5 * np.sin(2 * np.pi * (hours % 24 - 14) / 24) + 0.1 * rng.standard_normal(28)[hours // 24])
    asked = rng.poisson(curve * np.exp(0.05 * rng.standard_normal(len(hours)))).astype(float)
    limit = np.quantile(asked, 0.9)
    cut = np.minimum(asked, limit)
    found, (low, high) = unconstrained(cut, cut == limit, hours * 3600.0)
    assert low < asked.sum() < high
    assert found.sum() == pytest.approx(asked.sum(), rel=0.01)
    assert cut.sum() < 0.99 * asked.sum()


def test_the_turnaround_is_the_gap_before_those_who_had_waited():
    """One server, 60 s of work after each service: only gaps before a caller who had waited are of that length."""
    arrived = np.array([0.0, 10.0, 20.0, 900.0])
    start = np.array([0.0, 160.0, 320.0, 900.0])
    end = start + 100.0
    np.testing.assert_allclose(gaps(arrived, start, end, np.zeros(4)), [60.0, 60.0])


def test_a_rate_limit_of_the_whole_service_is_named_and_not_taken_for_another_rule():
    """A token bucket of one a second and bursts of three, by a few lines here; services of 0.3 to 30 s hide nothing."""
    rng = np.random.default_rng(7)
    at = np.sort(rng.uniform(0, 600, 900))
    level, before, refused = 0.0, 0.0, []
    for now in at.tolist():
        level = max(level - (now - before), 0.0)
        refused.append(level > 2.0)
        level, before = level + (not refused[-1]), now
    no, n = np.array(refused), len(at)
    lasted = np.where(no, 0.0, rng.lognormal(1, 1, n))
    asks = Asks(at, lasted, np.full(n, np.nan), np.where(no, 429.0, 200.0), np.arange(n), np.zeros(n, dtype=np.int64),
                np.ones(n, dtype=np.int64), np.full(n, np.nan), 600.0, False, ("",), "a log")  # fmt: skip
    bucket = of_service(asks)
    assert bucket.wrong < 0.05
    found = Findings("a log")
    assert [step["policy"]["kind"] for step in throttling(asks, found)] == ["shed"]
    assert "a rate limit of the whole service" in found.unknown["the throttling in force"]


def test_who_was_given_up_by_a_server_is_so_in_a_run_of_the_fitted_scenario():
    """One GPU of 3 to 5 s for a request each 2 s, given up at their turn: none of them was refused at the door."""
    steps = [{"policy": {"kind": "expiry", "after": "12 s", "foresight": False}}]
    scenario = known_service().with_(pools={"gpus": {"gpus": 1}}, playbooks={"timeout": steps}, horizon="20 min")
    asks = asks_of_run(simulate(scenario, "timeout", seed=1))
    assert asks.thrown.sum() > 20
    assert not asks.refused.any()
    assert asks.waited[asks.thrown].min() >= 12


def test_a_figure_whose_interval_is_as_wide_as_itself_says_nothing():
    assert says_nothing(1321, 1346)  # 25 to 2667
    assert says_nothing(13.2, 14.8)  # 1.6 to 28 s
    assert not says_nothing(50, 1346)
    assert not says_nothing(0.005, 0.001, least=0.01)


def test_a_file_without_demand_is_refused(tmp_path):
    test = tmp_path / "perf.csv"
    test.write_text("Concurrency,Inferences/Second,Client Send,p50 latency,p90 latency\n1,2,10,500000,510000\n")
    with pytest.raises(BadInput, match="no file says who came and when"):
        calibrate([test])


def test_whole_seconds_of_apache_do_not_hide_a_server_and_intervals_hold_the_truth(tmp_path):
    """%T is the whole seconds that have passed: half a second less than the duration, on average."""
    asks = log_of(known_service(), 1, waits=False)
    order = np.argsort(asks.arrived + asks.lasted)
    with (tmp_path / "access.log").open("w") as log:
        for k in order.tolist():
            at, lasted = datetime(2025, 3, 31) + timedelta(seconds=float(asks.arrived[k])), int(asks.lasted[k])
            request = f'"POST /{asks.kinds[asks.kind[k]]} HTTP/1.1" {asks.status[k]:.0f} 9 "-" "-" {lasted}'
            log.write(f"192.0.2.1 - u{asks.user[k]} [{at:%d/%b/%Y:%H:%M:%S} +0000] {request}\n")
    found = {one.key: one for one in calibrate([tmp_path / "access.log"], seeds=2).findings.estimates}
    for key, true in {"pools.gpus.gpus": 4, "service time of image": 3, "serving.noise.cv": 0.2, "limit": 60}.items():
        assert found[key].low <= true <= found[key].high
    assert found["pools.gpus.gpus"].high == 4
    assert found["service time of image"].high < 3.8
    assert found["limit"].high - found["limit"].low < 8


def test_a_job_that_is_over_and_never_began_was_given_up_and_not_served(tmp_path):
    begins = datetime(2025, 3, 31)
    rows = ["created_at,started_at,finished_at"]
    for k in range(40):
        came, gone = begins + timedelta(seconds=10 * k), begins + timedelta(seconds=10 * k + 9)
        rows.append(f"{came}Z,{'' if k % 4 == 0 else str(came + timedelta(seconds=2)) + 'Z'},{gone}Z")
    asks = asks_of(examined(tmp_path, "\n".join(rows) + "\n").trace)
    assert (asks.served.sum(), asks.left.sum()) == (30, 10)
    assert asks.waited[asks.left].tolist() == [9.0] * 10
    assert asks.service[asks.served].tolist() == [7.0] * 30
