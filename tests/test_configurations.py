"""Any configurations are compared over the same seeds, saved, reported again and held against a later comparison."""

from dataclasses import replace

import pytest

from sim import BadInput, Step, check, compare, demand_multiple, rescue, simulate, size
from sim.policies.shedding import QueueBound
from sim.report import render
from sim.report.ranking import configurations_table, fairness_table, since_table
from sim.studies.answer_folder import load_comparison, save_comparison
from sim.studies.choice import choice, objective_sentence
from sim.studies.configurations import changes, read_configuration, reference_of, same_people, scenario_at
from sim.studies.earlier import changed_since, since
from tests.random_scenarios import plain


def busy(gpus=1, **settings):
    """Ten minutes of somewhat more than one GPU serves, from people who leave after two minutes."""
    return plain(
        **{
            "demand": [{"kind": "steady", "rate": "8 per min"}],
            "behaviour": {"patience": {"kind": "exponential", "mean": "2 min"}, "retry": {"at_most": 2}},
            "pools": {"gpus": {"gpus": gpus}},
            "playbooks": {"none": [], "closed": [{"policy": {"kind": "feature gate", "open": 0}}]},
            **settings,
        }
    )


@pytest.fixture(scope="module")
def compared():
    """One GPU; two; two that nobody may use; and two with half of the demand."""
    half = busy(2, demand=[{"kind": "steady", "rate": "4 per min"}])
    given = [("one", busy()), ("two", busy(2), "none"), ("shut", busy(2), "closed"), ("half", half)]
    return compare(given, seeds=3, processes=1)


def test_labels_name_the_rows_and_the_first_is_the_baseline(compared):
    comparison, runs = compared
    assert comparison.playbooks == ["one", "two", "shut", "half"]
    assert list(comparison.table["playbook"]) == comparison.playbooks * 3
    assert list(comparison.table["seed"]) == [1] * 4 + [2] * 4 + [3] * 4
    assert comparison.baseline == "one"
    assert [run.manifest["pools"]["gpus"]["gpus"] for run in runs] == [1, 2, 2, 2]
    assert comparison.configurations["shut"]["playbook"] == "closed"


def test_a_configuration_has_the_figures_of_its_own_scenario_alone(compared):
    comparison, _ = compared
    alone, _ = compare(busy(2), ["none"], seeds=3, processes=1)
    for metric in ("attainment", "served", "dollars", "images_share", "people_share"):
        assert comparison.runs("two")[metric].tolist() == pytest.approx(alone.runs("none")[metric].tolist())


def test_configurations_with_other_fleets_meet_the_same_people(compared):
    one, two = compared[1][:2]
    assert one.users[["arrives", "tier"]].equals(two.users[["arrives", "tier"]])
    assert same_people([busy(), busy(2)])
    assert not same_people([busy(), busy(behaviour={"patience": {"kind": "never"}})])
    assert "The people differ" in objective_sentence(compared[0])


def test_fleets_share_one_unlimited_fleet_and_other_demand_has_its_own(compared):
    assert reference_of(busy(2), [busy(1)]) == busy(1)
    quicker = busy(2, serving={"gpu_speed_cv": 0.1})
    assert reference_of(quicker, [busy(1)]) == quicker
    loads = [run.manifest["offered_load"]["gpus"][0]["work"] for run in compared[1]]
    assert loads[0] == loads[1] == loads[2] > 1.5 * loads[3]


def test_configurations_may_be_given_by_label():
    comparison, _ = compare({"one": busy(), "shut": (busy(), "closed")}, seeds=1, processes=1)
    assert comparison.playbooks == ["one", "shut"]
    assert comparison.runs("shut")["served"].tolist() == [0]


@pytest.mark.parametrize(
    "given",
    [
        [],
        [("same", busy()), ("same", busy(2))],
        [("unlimited fleet", busy())],
        [("no scenario", "busy")],
        [busy()],
        [("", busy())],
        [("unknown playbook", busy(), "hope")],
    ],
)
def test_what_is_no_configuration_is_refused(given):
    with pytest.raises(BadInput):
        compare(given, seeds=1, processes=1)


def test_a_configuration_that_meets_other_people_is_no_recommendation(compared):
    comparison, _ = compared
    said = choice(comparison)[0]
    assert said.startswith(f"'{comparison.alive[0]}' comes first: ")
    assert said.endswith("so it is a choice only if demand and behaviour are yours to choose.")
    assert choice(replace(comparison, same_people=True))[0].startswith(f"Choose '{comparison.alive[0]}': ")


def test_a_comparison_of_configurations_is_saved_and_read_again(compared, tmp_path):
    comparison, runs = compared
    again, read = load_comparison(save_comparison(comparison, runs, tmp_path / "c"))
    assert (again.configurations, again.same_people, again.noun) == (comparison.configurations, False, "configuration")
    assert again.differences.equals(comparison.differences)
    table = configurations_table(again, read)
    assert [row[0] for row in table.rows] == ["one", "two", "shut", "half"]
    assert table.rows[1][3] == "pools.gpus.gpus 2"


def test_the_report_of_configurations_has_their_labels_though_their_playbook_is_the_same():
    comparison, runs = compare({"one": busy(), "two": busy(2)}, seeds=1, processes=1)
    html = render(runs, comparison)
    assert "Configurations compared" in html
    assert "Configuration two" in html
    assert "Playbook none" not in html.replace('alt="Playbook none', "")


def test_the_report_says_of_which_configurations_fairness_is_not_known():
    comparison, runs = compare({"rows": busy(), "line": busy(record="timeline")}, seeds=1, processes=1)
    table = fairness_table(comparison)
    assert {row[0] for row in table.rows} == {"rows"}
    assert "Not known of line, which kept no row for each person" in table.note
    assert "Not known of line" in render(runs, comparison)


def test_a_comparison_without_rows_of_people_is_saved_and_read(tmp_path):
    comparison, runs = compare(busy(record="timeline"), ["none"], seeds=1, processes=1)
    assert comparison.fairness.empty
    again, _ = load_comparison(save_comparison(comparison, runs, tmp_path / "c"))
    assert again.fairness.empty


def test_a_comparison_is_held_against_an_earlier_one_by_label_and_seed(compared):
    earlier, runs = compared
    later, later_runs = compare([("two", busy(3)), ("new", busy())], seeds=4, processes=1)
    table = since(later, earlier)
    assert set(table["playbook"]) == {"two"}
    row = table.set_index("metric").loc["dollars"]
    assert row["difference"] == pytest.approx(row["then"] / 2)  # a third GPU beside two
    assert row["now"] == pytest.approx(later.runs("two")["dollars"].loc[[1, 2, 3]].mean())
    assert changed_since(later_runs, runs, later.playbooks, earlier.playbooks) == ["'two': pools.gpus.gpus 2 -> 3."]
    cells = {row[1]: row for row in since_table(later, table).rows}
    assert cells["cost"][4].startswith("+$")
    assert cells["p95 latency"][4].partition("\n")[0].endswith((" s", "none", "not known"))


def test_nothing_has_changed_since_the_same_comparison(compared):
    comparison, _ = compared
    table = since(comparison, comparison)
    known = table.dropna(subset=["then"])
    assert (known["difference"] == 0).all()


def test_comparisons_without_anything_in_common_are_not_held_against_each_other(compared):
    other, _ = compare(busy(), ["closed"], seeds=[8], processes=1)
    with pytest.raises(BadInput, match="no playbook or configuration"):
        since(other, compared[0])
    with pytest.raises(BadInput, match="no seed"):
        since(compare([("one", busy())], seeds=[8], processes=1)[0], compared[0])


# In words.


def test_a_configuration_in_words_is_laid_over_the_scenario():
    how = {"override": None, "sets": {"horizon": "20 min"}, "playbook": None}
    one = read_configuration("three: pools.gpus.gpus=3 serving='{gpu_speed_cv: 0.2}'", "steady", **how)
    assert (one.label, one.scenario.horizon, one.scenario.pools["gpus"].gpus) == ("three", 1200, 3)
    assert one.scenario.serving.gpu_speed_cv == 0.2
    other = read_configuration("surge: scenario=surge override=study playbook=none", "steady", **how)
    assert (other.scenario.title, other.playbook) == ("One surge for every policy", "none")
    assert other.scenario.behaviour.retry.at_most == 0


@pytest.mark.parametrize("text", ["", "no colon", ": pools.gpus.gpus=3", "a: gpus", "a: x=1 x=2", "a: 'b", "a: =3"])
def test_words_that_are_no_configuration_are_refused(text):
    with pytest.raises(BadInput) as wrong:
        read_configuration(text, "steady", override=None, sets={}, playbook=None)
    assert wrong.value.key == "--config"


def test_a_saved_run_is_a_configuration(tmp_path):
    saved = tmp_path / "run"
    scenario = scenario_at("steady", sets={"horizon": "20 min", "warm_up": "0 s"})
    simulate(scenario, seed=2).save(saved)
    assert scenario_at(str(saved)) == scenario
    assert scenario_at(str(saved), sets={"pools.gpus.gpus": 3}).pools["gpus"].gpus == 3
    one = read_configuration(f"old: scenario={saved}", "surge", override=None, sets={}, playbook=None)
    assert (one.playbook, one.scenario) == ("none", scenario)
    with pytest.raises(BadInput, match="override"):
        scenario_at(str(saved), override="study")


def test_changes_are_listed_by_dotted_key_and_only_where_figures_may_change():
    before = {"title": "a", "pools": {"gpus": {"gpus": 1}}, "warm_up": "0 s"}
    after = {"title": "b", "pools": {"gpus": {"gpus": 2}, "more": {"gpus": 1}}}
    found = changes(before, after)
    assert found == {"pools.gpus.gpus": (1, 2), "pools.more": (None, {"gpus": 1}), "warm_up": ("0 s", None)}


def test_a_playbook_is_named_by_a_text_and_where_only_names_will_do_steps_are_refused():
    scenario = plain(horizon="2 min")
    comparison, _ = compare(scenario, "none", seeds=1, processes=1, store=False)
    assert comparison.playbooks == ["none"]
    steps = [Step(policy=QueueBound(requests=5))]
    for study in (check, size, rescue, demand_multiple):
        with pytest.raises(BadInput, match="this takes a playbook of the scenario"):
            study(scenario, playbook=steps)
    for seeds in (2.0, "2", 0, []):
        with pytest.raises(BadInput, match="one seed or more"):
            compare(scenario, "none", seeds=seeds)
