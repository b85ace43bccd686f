"""GPUs that run many requests at once: exact chains of queueing theory, and sums that can be done by hand."""

import numpy as np
import pytest
from scipy import stats

from sim import BadInput, simulate
from sim.profile.profile import constant_profile, load_profile, profile_of_sizes
from sim.results.counting import timeline_of
from sim.results.latencies import latencies
from sim.results.metrics import outcomes
from sim.results.run import Run
from sim.results.timeline import IN_TIME, JUDGED, KEPT
from sim.scenario.scenario import Scenario
from sim.shipped import find
from tests.random_scenarios import plain

SEEDS = range(1, 17)
LIMIT = stats.t.ppf(1 - 2.3e-4, len(SEEDS) - 1)  # as rare as 3.5 standard errors of a normal value


def served_by(profile, pool, rate, *, horizon="90 min", length="fixed", noise="none", seed=1, **settings) -> Run:
    """A Poisson stream of requests through one GPU."""
    scenario = plain(
        {"model": profile},
        horizon=horizon,
        features={"image": {"spec": {"model": "model", **settings}, "length": {"kind": length}}},
        pools={"gpus": {"gpus": 1, **pool}},
        demand=[{"kind": "steady", "rate": f"{rate} per s"}],
        serving={"noise": {"kind": noise}},
    )
    return simulate(scenario, seed=seed)


def figures(run: Run) -> dict[str, float]:
    rows = run.requests[run.requests["finished"].notna()]
    wait, stay = (rows[name] - rows["arrived"] for name in ("started", "finished"))
    return {
        "W": stay.mean(),
        "Wq": wait.mean(),
        "sd": stay.std(),
        "P_wait": (wait > 0).mean(),
        "TTFT": (rows["first_token"] - rows["arrived"]).mean() if "first_token" in rows else np.nan,
        "busy": run.requests["gpu_seconds"].sum() / run.horizon,
        "p50": stay.median(),
    }


def agree(expected, sees, *system, **settings):
    """Means over seeds have the expected values by Student's test; a bias of `sees` (a share) would be seen."""
    found = [figures(served_by(*system, seed=seed, **settings)) for seed in SEEDS]
    for name, value in expected.items():
        mean, error = (f([one[name] for one in found]) for f in (np.mean, stats.sem))
        assert abs(mean - value) < LIMIT * error, name
        assert LIMIT * error < sees * value, f"{name}: the test would not see it"


def steps(base: float, each: float, slots: int, number: int):
    """A profile whose steps last base + each x running."""
    return profile_of_sizes("model", [number * (base + each * n) for n in range(1, slots + 1)], steps=number)


def test_five_threads_on_a_gpu_of_five_seconds_take_twenty_five_each():
    """And run to completion 5, 10, ... 25."""
    for runs, expected in (("threads", [25.0] * 5), ("batches", [5.0, 10.0, 15.0, 20.0, 25.0])):
        scenario = plain(
            {"five": constant_profile("five", 5.0)},
            features={"image": {"spec": {"model": "five"}}},
            pools={"gpus": {"gpus": 1, "runs": runs, "max_batch": 5 if runs == "threads" else 1}},
            demand=[{"kind": "spike", "people": 5, "lasting": "0.001 s"}],
        )
        rows = simulate(scenario).requests
        assert (rows["finished"] - rows["arrived"]).tolist() == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize(
    ("rate", "threads", "expected"),
    [
        (0.6, 200, {"W": 2.5, "sd": 3.4069, "p50": 1.34058, "busy": 0.6}),
        (0.8, 4, {"W": 5.0, "Wq": 2.048, "P_wait": 0.4096, "busy": 0.8}),
    ],
)
def test_threads_are_processor_sharing(rate, threads, expected):
    """M/M/1-PS (Coffman, Muntz, Trotter 1970), and with a limit on how many share: P_wait = rho^slots."""
    pool = {"runs": "threads", "max_batch": threads}
    agree(expected, 0.2, constant_profile("model", 1.0), pool, rate, noise="exponential", horizon="6 h")


def test_mean_time_of_equal_sharing_does_not_depend_on_the_law_of_the_work():
    """M/G/1-PS: 1/(1 - rho) times the work, also where all take equally long."""
    agree({"W": 4.0, "busy": 0.75}, 0.1, constant_profile("model", 1.0), {"runs": "threads", "max_batch": 300}, 0.75)


@pytest.mark.parametrize(
    ("rate", "number", "slots", "base", "each", "expected"),
    [
        (
            1.5,
            20,
            6,
            0.02,
            0.004,
            {"W": 0.5516160882, "Wq": 0.007155453447, "TTFT": 0.03433966882, "busy": 0.5378983687},
        ),
        (0.9, 12, 4, 0.06, 0.03, {"W": 1.672657442, "Wq": 0.1361963519, "TTFT": 0.263543968, "busy": 0.6977367179}),
        (
            3.0,
            30,
            12,
            0.01,
            0.002,
            {"W": 0.4432719731, "Wq": 0.004806265224, "TTFT": 0.01940703185, "busy": 0.6981127463},
        ),
    ],
)
def test_steps_of_geometric_number_are_the_embedded_chain(rate, number, slots, base, each, expected):
    """Joins at the end of a step only; each of those running ends with probability 1/number at the end of a step."""
    profile, pool = steps(base, each, slots, number), {"runs": "steps", "max_batch": slots}
    agree(expected, 0.15, profile, pool, rate, length="geometric", steps=number, horizon="2 h")


def test_steps_of_fixed_number():
    """28 steps, as of a diffusion model: simulated in another program, with a standard error of 0.04 %."""
    profile, pool = steps(0.021, 0.016, 4, 28), {"runs": "steps", "max_batch": 4}
    agree({"W": 1.374471, "Wq": 0.02169, "TTFT": 0.0700817}, 0.15, profile, pool, 0.55, horizon="2 h")


def test_a_chat_joins_at_the_end_of_a_step_and_its_prompt_stops_the_others():
    """By hand, of the shipped profile: a prompt pass each, then passes that both make together."""
    profile = load_profile(find("profiles", "chat-8b-h100-eager", ".json"))
    scenario = plain(
        {"chat-8b": profile},
        features={"image": {"spec": {"model": "chat-8b", "side": 1024, "steps": 200}}},
        pools={"gpus": {"gpus": 1, "runs": "steps", "max_batch": 8}},
        demand=[{"kind": "spike", "people": 2, "lasting": "3 s"}],
    )
    run = simulate(scenario)
    rows = run.requests
    table = profile.steps(scenario.specs()[0], range(1, 9))
    assert (table.passes, table.first) == (199, 1)
    begin, comes = rows["arrived"].tolist()
    opening, one, two = table.opening[1], table.each[1], table.each[2]
    made = int(np.ceil((comes - begin - opening) / one))  # passes of the first alone, until the second joins
    joins = begin + opening + made * one
    assert rows["started"][1] == pytest.approx(joins)
    assert rows["finished"][0] == pytest.approx(joins + opening + (199 - made) * two)
    assert rows["finished"][1] == pytest.approx(rows["finished"][0] + made * one)
    assert rows["gpu_seconds"].sum() == pytest.approx(rows["finished"][1] - begin)
    assert rows["first_token"].tolist() == pytest.approx([begin + opening, joins + opening])
    each = (rows["finished"] - rows["first_token"]) / 199  # 200 tokens, of which the prompt yields the first
    found = latencies(run).loc["served", "per token", "all"]
    assert rows["tokens"].tolist() == [200, 200]
    assert [found["p50"], found["p99"]] == pytest.approx(sorted(each))


def chats(**of_feature) -> Run:
    """Five minutes of chats at a load of 90 % for one GPU."""
    model = {"model": "chat-8b-h100-eager", "side": 1024, "steps": 200}
    feature = {"slo": "10 min", "spec": model, "length": {"kind": "geometric"}, **of_feature}
    demand, pools = [{"kind": "steady", "rate": "6 per s"}], {"gpus": {"gpus": 1, "runs": "steps", "max_batch": 64}}
    return simulate(plain(horizon="5 min", features={"image": feature}, pools=pools, demand=demand))


def test_in_time_means_all_slos_that_are_given():
    """The share whose first token, or time per token, is within its own median is a half, as the rows say."""
    rows = chats().requests
    rows = rows[rows["outcome"] == "served"]
    first = rows["first_token"] - rows["arrived"]
    each = ((rows["finished"] - rows["first_token"]) / (rows["tokens"] - 1)).where(rows["tokens"] > 1, 0)
    for slo, seconds in (("slo_first_token", first), ("slo_per_token", each)):
        run = chats(**{slo: f"{float(seconds.median())!r} s"})
        counts = outcomes(run).iloc[0]
        assert counts["in_time"] == (seconds <= seconds.median()).sum()
        assert 0.4 < counts["attainment"] < 0.52
        assert timeline_of(run).counts[..., [IN_TIME, KEPT, JUDGED]].sum() == (
            run.timeline.counts[..., [IN_TIME, KEPT, JUDGED]].sum()
        )


def test_an_slo_of_tokens_needs_a_pool_that_counts_them():
    with pytest.raises(BadInput, match=r"features.image.slo_first_token\s+expected: pool 'gpus' runs batches"):
        plain(features={"image": {"slo_first_token": "1 s"}})


def test_sixty_four_chats_at_once_are_served_faster_than_one_after_the_other():
    found = {}
    for slots in (1, 64):
        scenario = plain(
            features={"image": {"spec": {"model": "chat-8b-h100-eager", "side": 1024, "steps": 200}}},
            pools={"gpus": {"gpus": 1, "runs": "steps", "max_batch": slots}},
            demand=[{"kind": "steady", "rate": "1 per s"}],
        )
        found[slots] = (simulate(scenario).requests["outcome"] == "served").sum()
    assert found[64] > 5 * found[1]


@pytest.mark.parametrize(
    ("pool", "key"),
    [
        ({"runs": "steps", "linger": "1 s"}, "linger"),
        ({"runs": "threads", "model_load": {"kind": "constant", "value": "1 s"}}, "model_load"),
        ({"runs": "both"}, "runs"),
    ],
)
def test_options_that_do_not_fit_are_refused(pool, key):
    with pytest.raises((BadInput, ValueError), match=key):
        plain(pools={"gpus": pool})


def test_a_number_of_steps_that_varies_needs_a_pool_that_runs_steps():
    with pytest.raises(BadInput, match="length"):
        plain(features={"image": {"length": {"kind": "geometric"}}})
    assert isinstance(plain(pools={"gpus": {"runs": "steps"}}), Scenario)
