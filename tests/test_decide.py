"""A decision is the one that decision theory makes of the same losses, and its sentences say why nothing cheaper."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sim import BadInput, load, simulate
from sim.cli.main import app
from sim.report.ranking import options_table
from sim.results.intervals import proportion
from sim.results.verdict import verdict
from sim.studies.decide import alive_intervals, decide, regrets
from sim.studies.decide_words import sentences
from sim.studies.sweep import DEMAND
from sim.studies.uncertain import read_law, uncertain

HERE = {"store": False, "processes": 1}
CALLS = CliRunner()
RATE = "demand.waves.0.rate"
SPREAD = math.exp(0.5 * 1.2815515655446004)  # of a lognormal with sigma 0.5, from its median to its 90 % point


def test_a_table_worked_by_hand():
    """Four fleets, three futures of 60 %, 30 % and 10 %: costs, regrets and the value of perfect information."""
    costs = [[10, 40, 120], [20, 25, 80], [35, 36, 45], [60, 60, 60]]
    found = regrets(np.repeat(costs, [6, 3, 1], axis=1))
    assert found["loss"].tolist() == pytest.approx([30, 27.5, 36.3, 60])
    assert found["regret"].tolist() == pytest.approx([12, 9.5, 18.3, 42])
    assert (found["loss"].idxmin(), found["regret"].idxmin()) == (1, 1)
    assert found["worst_loss"].idxmin() == 2
    assert (found["worst_regret"].idxmin(), found["worst_regret"].min()) == (2, 25)
    best_of_each = np.min(costs, axis=0) @ [0.6, 0.3, 0.1]
    assert found["regret"].min() == pytest.approx(27.5 - best_of_each)


@pytest.mark.parametrize(
    ("text", "under", "over", "quantity", "regret"),
    [
        ("~ uniform(4000, 30000)", 10.0, 2.5, 24800, 26000),
        ("~ triangular(1000, 5000, 50000)", 7.0, 3.5, 22889.11658, 46407.93868),
        (f"~ lognormal({6000 / SPREAD!r}, {6000 * SPREAD!r})", 9.0, 3.5, 8029.965430, 15891.45370),
    ],
)
def test_the_least_regret_is_that_of_the_newsvendor(text, under, over, quantity, regret):
    """q = F^-1(cu / (cu + co)), with the expected regret in closed form."""
    law = read_law("demand", text)
    assert law.quantile(under / (under + over)) == pytest.approx(quantity, rel=1e-6)
    demand = law.distribution.ppf((np.arange(20_000) + 0.5) / 20_000)
    menu = quantity * np.array([0.9, 0.98, 1.0, 1.02, 1.1])
    losses = [under * np.maximum(demand - q, 0) + over * np.maximum(q - demand, 0) for q in menu]
    found = regrets(np.array([*losses, np.zeros(len(demand))]))  # with the one who knows the demand
    assert found["regret"][:5].idxmin() == 2
    assert found["regret"][2] == pytest.approx(regret, rel=2e-3)


def small(**more):
    """A minute and a half of steady's queue, with a fleet that half of all futures are too much for."""
    return load(
        "steady",
        sets={
            "horizon": "10 min",
            "warm_up": "1 min",
            "behaviour.patience": {"kind": "constant", "value": "10 s"},
            **more,
        },
    )


@pytest.fixture(scope="module")
def found():
    inputs = uncertain(small(), {RATE: "~ uniform(1, 4) per s"})
    return decide(inputs, fleets=[4, 6, 8], playbooks=["none"], futures=8, image_worth=0.01, **HERE)


def test_every_option_meets_the_same_futures_and_a_row_is_a_run_that_can_be_made_again(found):
    inputs = uncertain(small(), {RATE: "~ uniform(1, 4) per s"})
    assert len(found.runs) == 24
    assert (found.runs.groupby("future")[RATE].nunique() == 1).all()
    row = found.runs[(found.runs["future"] == 5) & (found.runs["gpus"] == 6)].iloc[0]
    run = simulate(inputs.future(5).with_(**{"pools.gpus.gpus": 6}), "none", seed=5)
    assert verdict(run).dollars == pytest.approx(row["dollars"])
    assert row["loss"] == pytest.approx(row["dollars"] - 0.01 * row["images"])


def test_the_choice_has_the_least_expected_regret_and_pays_most_for_perfect_information(found):
    table = found.runs.pivot_table(index="gpus", columns="future", values="loss")
    regret = (table - table.min()).mean(axis=1)
    assert found.options["gpus"][found.best] == regret.idxmin()
    assert found.evpi == pytest.approx(regret.min())
    assert (found.options["regret_low"] <= found.options["regret"]).all()


def test_every_cheaper_option_is_named_with_a_reason_and_the_menu_is_printed(found):
    text = sentences(found)
    assert text[0].startswith(f"CHOOSE {found.options['label'][found.best]}")
    for label in found.cheaper["label"]:
        assert sum(line.startswith(f"Not {label}, $") for line in text) == 1
    assert any("4 GPUs, 6 GPUs and 8 GPUs" in line for line in text)


@pytest.mark.parametrize(("best", "end"), [(0, "No smaller fleet"), (1, None), (2, "No larger fleet")])
def test_a_choice_at_an_end_of_the_menu_says_that_a_fleet_beyond_may_be_better(found, best, end):
    least_there = found.options.assign(regret=[float(abs(place - best)) for place in range(3)])
    lines = sentences(replace(found, best=best, options=least_there))
    said = [line for line in lines if line.startswith("No ") and "on the menu, and" in line]
    assert [line.startswith(str(end)) for line in said] == ([True] if end else [])


def test_no_fleet_beyond_the_menu_is_named_where_regret_grows_towards_its_end():
    """Ten GPUs are chosen because two do not stay alive, and more than ten lose more."""
    inputs = uncertain(small(), {DEMAND: "~ uniform(2, 4)"})
    safe = decide(inputs, fleets=[2, 10], futures=6, image_worth=1e-9, alive=0.9, **HERE)
    assert safe.options["gpus"][safe.best] == 10
    assert not any(line.startswith("No larger fleet") for line in sentences(safe))


def test_without_prices_images_are_lost_against_an_unlimited_fleet_and_it_says_that_gpus_count_nothing():
    inputs = uncertain(small(), {DEMAND: "~ choice(1, 3)"})
    some = decide(inputs, fleets=[2, 12], futures=4, **HERE)
    assert some.by == "images"
    rich = some.runs[some.runs["gpus"] == 12]
    assert (some.runs["loss"] >= -0.5).all()
    assert rich["loss"].max() <= 2 < some.runs[some.runs["gpus"] == 2]["loss"].min()
    assert any("count nothing" in line for line in sentences(some))


def test_an_option_that_dies_too_often_is_not_chosen():
    inputs = uncertain(small(), {DEMAND: "~ uniform(2, 4)"})
    cheap = decide(inputs, fleets=[2, 10], futures=6, image_worth=1e-9, **HERE)
    safe = decide(inputs, fleets=[2, 10], futures=6, image_worth=1e-9, alive=0.9, **HERE)
    assert [cheap.options["gpus"][cheap.best], safe.options["gpus"][safe.best]] == [2, 10]
    assert any("are asked for" in line for line in sentences(safe))
    assert safe.evpi == safe.options["regret"][safe.best] > safe.options["regret"].min()  # what knowing would save


def test_a_choice_that_fails_in_most_futures_says_so_and_what_would_not():
    """Without --alive the cheapest fleet was chosen that never stays alive, where 'compare' would choose none such."""
    inputs = uncertain(small(), {DEMAND: "~ uniform(2, 4)"})
    cheap, none = (decide(inputs, fleets=gpus, futures=6, image_worth=1e-9, **HERE) for gpus in ([2, 10], [2, 3]))
    said = sentences(cheap)[1]
    assert said.startswith("NOT ALIVE in most futures")
    assert "with --alive 90% it would be 10 GPUs, whose regret is $" in said
    assert "no option of the menu stays alive in 90 % of runs" in sentences(none)[1]
    safe = decide(inputs, fleets=[2, 10], futures=6, image_worth=1e-9, alive=0.9, **HERE)
    assert not any(line.startswith("NOT ALIVE") for line in sentences(safe))


def test_a_choice_says_how_often_it_keeps_what_the_scenario_promises():
    """Two of three GPUs may be dead weight in dollars, and yet be what a promise rests on: p95 of 2 s takes no wait."""
    inputs = uncertain(
        small(promises=["p95 <= 2.1 s", "cost no worse than baseline"]), {RATE: "~ uniform(1, 1.5) per s"}
    )
    found = decide(inputs, fleets=[4, 12], playbooks=["none"], futures=4, image_worth=1e-6, **HERE)
    assert found.options["promised"].tolist() == [0, 1]
    said = " ".join(sentences(found))
    assert said.startswith("CHOOSE 4 GPUs")
    assert (
        "It keeps all that the scenario promises in 0 % of futures; of those that do in 90 % or more, 12 GPUs" in said
    )
    assert "promises kept in" in options_table(found).head


def test_where_no_option_may_be_chosen_nothing_is_said_of_its_worth_and_the_command_ends_with_1():
    """It ended with 0, and spoke of the value of knowing the future for a choice that there was not."""
    inputs = uncertain(small(), {DEMAND: "~ uniform(3, 4)"})
    none = decide(inputs, fleets=[2, 3], futures=3, image_worth=1e-9, alive=1.0, **HERE)
    said = sentences(none)
    assert said[0] == "NONE of these options stays alive in 100 % of runs, or in any."
    assert not any("Knowing the future" in line for line in said)
    asked = ["decide", "steady", "--fleets", "1,2", "--image-worth", "0.01", "--alive", "100%", "--futures", "2"]
    sets = [
        "--set",
        "horizon=5 min",
        "--set",
        "warm_up=0 s",
        "--set",
        "demand.times=3",
        "--no-store",
        "--processes",
        "1",
    ]
    assert CliRunner().invoke(app, [*asked, *sets]).exit_code == 1


def test_with_several_seeds_chance_and_inputs_are_told_apart():
    """Here the inputs differ by far more than chance does."""
    inputs = uncertain(small(), {DEMAND: "~ uniform(0.5, 6)"})
    some = decide(inputs, fleets=[4, 8], futures=5, seeds=2, image_worth=0.01, **HERE)
    assert 0 < some.seed_sd < some.future_sd / 3


def test_an_equal_option_is_named_as_equal():
    inputs = uncertain(small(playbooks={"none": [], "twin": []}), {RATE: "~ uniform(1, 4) per s"})
    twins = decide(inputs, fleets=[6], futures=4, image_worth=0.01, **HERE)
    assert sentences(twins)[1].startswith("No better than 'twin': the losses are the same in every future")
    rich = decide(uncertain(small(), {RATE: "~ uniform(0.1, 0.2) per s"}), fleets=[20, 30], futures=4, **HERE)
    said = "No better than 30 GPUs: the losses are the same in every future, and its GPUs cost least."
    assert sentences(rich)[1] == said
    scenario = small(playbooks={"none": [], "twin": []})
    both = decide(uncertain(scenario, {RATE: "~ uniform(0.1, 0.2) per s"}), fleets=[20, 30], futures=4, **HERE)
    said = "of those whose GPUs cost no more the choice is free: it and 20 GPUs with 'twin'."
    assert sentences(both)[1].endswith(said), "the choice among 20 and 30 GPUs was free as well"


def test_a_runner_up_whose_gpus_cost_as_much_is_named_with_what_the_futures_establish():
    shed = {"none": [], "shed": [{"policy": {"kind": "shed", "share": "1 %"}}]}
    inputs = uncertain(small(playbooks=shed), {RATE: "~ uniform(1, 4) per s"})
    near = decide(inputs, fleets=[6], futures=4, image_worth=0.01, **HERE)
    said = sentences(near)[1]
    assert said.startswith("Runner-up: '")
    assert ("do not establish" in said) == (not near.options["p"].min() < 0.05)


def test_fleets_that_earn_the_same_are_said_to_differ_by_their_cost_alone(found):
    """Where nobody leaves and late images cost nothing, the smallest fleet wins whatever people get."""
    poor = {"behaviour.patience": {"kind": "never"}, "tiers.free.price": "$20 per month"}
    busy = decide(uncertain(small().with_(**poor), {DEMAND: "~ uniform(2, 3)"}), fleets=[2, 20], futures=3, **HERE)
    assert busy.options["gpus"][busy.best] == 2
    assert any(line.startswith("THE SAME IS EARNED") for line in sentences(busy))
    assert not any(line.startswith("THE SAME IS EARNED") for line in sentences(found))


def test_a_difference_that_is_clear_alone_and_not_among_many_says_both(found):
    """The interval of one excludes nothing, and "do not establish" beside it read as a contradiction."""
    rows = found.options.assign(more_lost=1.0, more_low=0.5, more_high=1.5, p=0.06)
    clear = replace(found, options=rows, best=2)
    said = " ".join(sentences(clear))
    assert "is established alone, but not among 2 comparisons" in said
    assert "do not establish" not in said
    assert "which 2 futures cannot establish" in " ".join(sentences(replace(clear, futures=2)))
    unsure = replace(clear, options=rows.assign(more_low=-0.5))
    assert "do not establish" in " ".join(sentences(unsure))


def test_runs_of_one_future_are_no_further_evidence_of_staying_alive():
    """Ten futures of three runs that live or die together have the interval of ten, not of thirty."""
    fates = [(future, seed, future <= 8) for future in range(1, 11) for seed in (1, 2, 3)]
    runs = pd.DataFrame(fates, columns=["future", "seed", "alive"]).assign(option=0)
    ((low, high),) = alive_intervals(runs, 3)
    once = proportion(8, 10)
    assert high - low > 0.9 * (once.high - once.low)
    assert alive_intervals(runs[runs["future"] <= 8], 3) == [proportion(8, 8)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"fleets": [4]},
        {"fleets": [4, 8], "playbooks": ["nothing"]},
        {"fleets": [4, 8], "futures": 1},
        {"fleets": [4, 8], "image_worth": -1.0},
        {"fleets": [4, 8], "alive": 1.5},
        {"fleets": [4, 8], "pool": "none"},
    ],
)
def test_what_no_decision_can_be_made_of_is_refused(wrong):
    with pytest.raises(BadInput):
        decide(small(), **wrong, **HERE)


def test_of_several_pools_the_one_that_is_decided_about_is_named():
    """CHOOSE 4 GPUs, of a service with two pools, did not say of which."""
    features = {
        "image": {"share": 0.5, "pool": "gpus", "slo": "10 s", "spec": {"model": "two-seconds"}},
        "video": {"share": 0.5, "pool": "more", "slo": "10 s", "spec": {"model": "two-seconds"}},
    }
    both = small(features=features, pools={"gpus": {"gpus": 4}, "more": {"gpus": 9}})
    some = decide(both, fleets=[4, 6], pool="gpus", futures=2, image_worth=0.01, **HERE)
    said = sentences(some)
    assert "(GPUs of pool 'gpus'): the least expected regret" in said[0]
    assert "The fleets are those of pool 'gpus'; the rest stays: pool 'more' at 9 GPUs." in said
    assert options_table(some).head[0] == "GPUs of gpus"


def test_a_fleet_that_is_uncertain_is_shown_by_its_law_and_each_run_by_its_own():
    """The table showed the median alone, and so did the file of runs."""
    shed = {"none": [], "shed": [{"policy": {"kind": "shed", "share": "1 %"}}]}
    pool = next(iter(small().pools))
    inputs = uncertain(small(playbooks=shed), {f"pools.{pool}.gpus": "~ uniform(4, 40)"})
    some = decide(inputs, futures=4, image_worth=0.01, **HERE)
    assert {row[0] for row in options_table(some).rows} == {"~ uniform(4, 40)"}
    assert some.runs["gpus"].tolist() == some.runs[f"pools.{pool}.gpus"].astype(int).tolist()
    assert some.runs["gpus"].nunique() > 1


def test_a_fleet_on_the_menu_cannot_be_uncertain():
    with pytest.raises(BadInput, match=r"pools\.gpus\.gpus"):
        decide(uncertain(small(), {"pools.gpus.gpus": "~ uniform(2, 9)"}), fleets=[4, 8], **HERE)


def test_what_would_change_a_choice_is_not_shared_out():
    """It is looked for once the choice is known, which no shard knows (the option was passed over in silence)."""
    given = ["decide", "steady", "--fleets", "2,3", "--what-changes", "--shard", "1/2"]
    done = CALLS.invoke(app, given)
    assert done.exit_code == 2 or isinstance(done.exception, BadInput)
    assert "--what-changes" in str(done.exception)


def test_a_decision_is_short_in_a_notebook(found):
    assert repr(found).startswith("<Decision by ")
    assert len(repr(found)) < 120
