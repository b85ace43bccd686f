"""The sentences of a comparison name the playbook to choose, what it costs, and what the seeds do not establish."""

import dataclasses
import math

import pandas as pd
import pytest

from sim.studies.choice import against, choice, objective_sentence
from sim.studies.compare import Comparison
from sim.studies.differences import differences
from sim.studies.objectives import OBJECTIVES
from sim.wording import percent

UNLIMITED_IMAGES, FLEET = 1000.0, 3240.0  # images in time of the unlimited fleet, dollars of the fleet
COSTS = {"dearer": 3000.0, "cheap": 1000.0, "dear": 2000.0}


def row(playbook, seed, as_asked, degraded=0.0, *, alive=True, kept=0.9, lost=0.0, quality=0.5):
    """The figures of one run against an unlimited fleet that gives a thousand images."""
    worth = as_asked + quality * degraded
    return {
        "playbook": playbook,
        "seed": seed,
        "alive": alive,
        "overloaded": False,
        "attainment": 0.9,
        "images_as_asked": as_asked,
        "images_degraded": degraded,
        "images_worth": worth,
        "degraded_share": degraded / (as_asked + degraded),
        "signups_lost": lost,
        "signups_waiting": 0.0,
        "churned": 12.0,
        "dollars": FLEET,
        "images_share": worth / UNLIMITED_IMAGES,
        "people_share": kept,
        "dollars_per_1000_images": 1000 * FLEET / worth,
    }


def compared(*rows, by="images"):
    table = pd.DataFrame(rows)
    names, seeds = list(dict.fromkeys(table["playbook"])), sorted(set(table["seed"]))
    return Comparison(table, differences(table, names, OBJECTIVES[by]), names, seeds, names[0], pd.DataFrame(), by)


def three_seeds(playbook, *images, **facts):
    return [row(playbook, seed, number, **facts) for seed, number in enumerate(images, 1)]


def test_the_best_of_the_living_is_chosen_and_the_next_is_the_runner_up():
    said = choice(
        compared(
            *three_seeds("none", 900, 905, 910, alive=False),
            *three_seeds("good", 700, 705, 710, kept=0.95),
            *three_seeds("fair", 500, 505, 510, lost=77),
        )
    )
    assert said[0].startswith("Choose 'good': of the 2 playbooks that keep the service alive with all 3 seeds")
    assert "70.5 % of the images of an unlimited fleet" in said[0]
    assert said[1] == "Runner-up: 'fair', with 50.5 %, 20 points behind."
    assert "keeps 95 % of the people" in said[2]
    assert "77 signups are lost" in said[3]
    assert "$3.24 k" in said[2]
    assert "$4.6 k for a thousand" in said[2]
    assert any("Not alive" in line and "'none' (90.5 %)" in line for line in said)


def test_a_difference_that_chance_explains_is_said_not_to_be_established():
    said = " ".join(choice(compared(*three_seeds("one", 700, 500, 620), *three_seeds("other", 600, 640, 500))))
    assert "which these seeds do not establish" in said
    assert "Differences not established" in said
    assert "'one' against 'other'" in said


def test_a_difference_that_is_clear_alone_is_not_among_many():
    # By itself p is 1.4 %; of four comparisons with a p near it none is established.
    best = three_seeds("best", 700, 700, 700)
    others = [three_seeds(f"other {n}", 600 - 20, 600, 600 + 20) for n in range(4)]
    alone = " ".join(choice(compared(*best, *others[0])))
    among = " ".join(choice(compared(*best, *(line for rows in others for line in rows))))
    assert "established (p below 5 % by Holm)" in alone
    assert "Differences not established (p of 5 % or more by Holm, 4 comparisons)" in among


@pytest.mark.parametrize(("seeds", "words"), [(1, "One seed says nothing"), (2, "Two seeds say nothing")])
def test_one_seed_or_two_establish_nothing(seeds, words):
    rows = [line for name, n in (("a", 700), ("b", 500)) for line in three_seeds(name, *[n] * seeds)]
    said = " ".join(choice(compared(*rows)))
    assert words in said
    assert "by Holm" not in said


def test_the_quality_at_which_another_playbook_would_come_first_is_named():
    # 300 + 0.5 x 600 = 600 against 500 as asked for: equal at a third.
    lesser = [row("degrade", seed, 300.0, 600.0) for seed in (1, 2, 3)]
    said = " ".join(choice(compared(*lesser, *three_seeds("refuse", 500, 500, 500))))
    assert "Choose 'degrade'" in said
    assert f"below {percent(1 / 3)} of one as asked for, 'refuse' would come first" in said


def test_without_a_quality_that_would_change_it_the_choice_is_said_to_stand():
    lesser = [row("degrade", seed, 550.0, 600.0) for seed in (1, 2, 3)]
    assert "'degrade' stays first" in " ".join(choice(compared(*lesser, *three_seeds("refuse", 500, 500, 500))))


def test_where_nothing_is_alive_nothing_is_recommended():
    said = choice(compared(*three_seeds("a", 1, 2, 3, alive=False), *three_seeds("b", 4, 5, 6, alive=False)))
    assert said[0].startswith(
        "No playbook keeps the service alive with all 3 seeds, so no playbook is recommended; 'b'"
    )
    assert not any(line.startswith("Choose") for line in said)


def test_of_the_dead_those_that_are_equal_in_every_seed_are_called_equal():
    """The table had "0 points in every seed", and the sentence "not established. More seeds would tell"."""
    said = choice(compared(*(row for name in "ab" for row in three_seeds(name, 700, 705, 710, alive=False))))
    assert "'a' and 'b' come first, equal, by the measure alone" in said[0]
    assert "No seed sets 'a' and 'b' apart by this measure, and more seeds may not either." in said
    assert not any("More seeds would tell" in line for line in said)


def test_another_objective_that_would_choose_otherwise_is_named():
    said = " ".join(choice(compared(*three_seeds("a", 700, 700, 700, kept=0.5), *three_seeds("b", 600, 600, 600))))
    assert "By people kept, 'b' would come first: 90 % against 50 % (--by people)." in said


def test_by_people_the_playbook_that_keeps_most_is_chosen():
    rows = [*three_seeds("a", 700, 700, 700, kept=0.5), *three_seeds("b", 600, 600, 600)]
    assert choice(compared(*rows, by="people"))[0].startswith("Choose 'b'")


def test_one_playbook_is_no_choice():
    assert choice(compared(*three_seeds("a", 1, 2, 3))) == []


def test_the_cost_of_an_image_over_seeds_is_that_of_all_their_images_and_not_the_mean_of_the_seeds_costs():
    seeds = compared(*three_seeds("none", 100, 300, 800))
    assert seeds.mean("none", "dollars_per_1000_images") == pytest.approx(1000 * 3 * FLEET / 1200)
    found = seeds.differences.set_index("metric").loc["dollars_per_1000_images"]
    assert found["mean"] == pytest.approx(1000 * 3 * FLEET / 1200)
    assert math.isnan(found["mean_low"])  # three so different seeds do not exclude that no image is made


def test_a_difference_that_no_seed_can_establish_is_called_unknown():
    """Without an image there is no cost of one, and "More seeds would tell" was said of it."""
    rows = [*three_seeds("some", 700, 500, 620), *three_seeds("none", 1, 1, 1)]
    for one in rows[3:]:
        one.update(images_worth=0.0, dollars_per_1000_images=math.inf)
    said = choice(compared(*rows, by="cost"))
    assert "The difference of 'some' from 'none' is not known, as in some seed there is no figure." in said
    assert not any("More seeds would tell" in line or "are established" in line for line in said)


def test_losses_and_unknown_costs_are_written_as_people_write_them():
    """It was "$-5.2 k", and "$unknown"."""
    money = OBJECTIVES["money"]
    assert money.written(-5200.0) == "-$5.2 k"
    assert money.apart(800.0, -200.0, 1800.0) == "$800 (-$200 to $1.8 k)"
    assert OBJECTIVES["cost"].written(math.nan) == "an unknown amount"
    assert OBJECTIVES["images"].apart(0.2, 0.1, 0.3) == "20 points (10 to 30)"


def test_the_sentence_and_the_table_test_a_difference_of_costs_the_same_way():
    """The table took the jackknife of the ratio, and the sentence the difference of each seed's cost."""
    found = compared(*three_seeds("b", 600, 640, 500), *three_seeds("a", 700, 500, 620), by="cost")
    best = found.alive[0]
    (row,) = against(found, best).to_dict("records")
    metric = found.differences.set_index(["playbook", "metric"]).loc[("a", "dollars_per_1000_images")]
    assert row["p"] == pytest.approx(metric["p"])
    assert abs(row["difference"]) == pytest.approx(abs(metric["difference"]))


def test_what_is_equal_in_every_seed_is_called_equal_and_the_cheapest_of_it_is_chosen():
    """Three fleets that give everybody everything: the least of them is enough, and no seed would tell otherwise."""
    rows = [{**one, "dollars": dollars} for name, dollars in COSTS.items() for one in three_seeds(name, 900, 905, 910)]
    said = choice(compared(*rows, *three_seeds("worse", 800, 806, 811)))
    assert said[0].startswith("Choose 'cheap': of the 4 playbooks that keep the service alive with all 3 seeds, it, ")
    assert "'dear' and 'dearer' have the most by this measure, equal with all 3 seeds" in said[0]
    assert said[0].endswith("it is the cheapest.")
    assert said[1] == "Runner-up: 'dear', which no seed sets apart from it by this measure."
    text = " ".join(said)
    assert "No seed sets 'cheap', 'dear' and 'dearer' apart by this measure" in text
    assert "More seeds would tell" not in text
    assert "The differences of 'cheap' from the rest are established" in text


def test_of_runs_in_which_nothing_was_decided_none_is_chosen():
    rows = [{**one, "attainment": math.nan, "images_share": math.nan} for one in three_seeds("none", 900, 905, 910)]
    said = choice(compared(*rows, *({**one, "playbook": "other"} for one in rows)))
    assert len(said) == 1
    assert said[0].startswith("NOTHING WAS DECIDED")


def test_playbooks_of_a_scenario_with_word_of_mouth_meet_other_people_by_it():
    found = compared(*three_seeds("none", 900, 905, 910), *three_seeds("good", 700, 705, 710))
    assert "All playbooks meet the same people." in objective_sentence(found)
    grown = dataclasses.replace(found, table=found.table.assign(growth_lost=77.0))
    assert "All playbooks meet the same people, apart from those whom images bring." in objective_sentence(grown)


def test_a_playbook_to_choose_that_breaks_what_the_scenario_promises_is_said_to_and_which_does_not():
    found = compared(*three_seeds("none", 900, 905, 910), *three_seeds("good", 700, 705, 710))
    rows = [("none", "p95 <= 1 s", 2), ("good", "p95 <= 1 s", 3), ("good", "cost <= $9", 3)]
    named = ["playbook", "promise", "held"]
    kept = pd.DataFrame(rows, columns=named).assign(seeds=3, reached="2 s", limit="<= 1 s", note="")
    said = choice(dataclasses.replace(found, promises=kept))
    broken = "But 'none' breaks what the scenario promises: 'p95 <= 1 s' (kept with 2 of 3 seeds); 'good' breaks none."
    assert said[1] == broken
    assert broken not in choice(found)


def test_another_objective_says_what_seeds_do_not_establish():
    less = three_seeds("less", 700, 705, 710)
    kept = [{**one, "people_share": share} for one, share in zip(less, (0.5, 0.99, 0.99), strict=True)]
    more = [{**one, "people_share": 0.8} for one in three_seeds("more", 900, 905, 910)]
    said = " ".join(choice(compared(*more, *kept)))
    assert "By people kept, 'less' would come first: 82.7 % against 80 %, which these seeds do not establish" in said
