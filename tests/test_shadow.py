"""Shadow mode decides on a run's metrics as the run did, and refuses metrics that do not say what it needs."""

import json
import re

import pandas as pd
import pytest

from sim import BadInput, load, simulate
from sim.cli.runbook_command import shadow as shadow_command
from sim.model.knobs import knob_called
from sim.report.shadow_words import NO_STEPS, NONE_MADE, NOT_DONE, caveat, lines
from sim.results.gateway_metrics import openmetrics
from sim.results.gateway_readings import Reading, Readings, readings
from sim.results.log_tables import decision_table
from sim.results.metrics import recorded
from sim.results.timeline import ATTEMPTS, IN_TIME
from sim.studies.shadow import shadow, with_telemetry

STEPS = [
    {"policy": {"kind": "hpa", "pool": "gpus", "most": 160, "utilisation": "70 %"}},
    {
        "policy": {"kind": "shed", "share": "30 %", "tiers": ["free"]},
        "when": {"expected_wait": {"above": "5 s", "below": "2 s"}, "pool": "gpus", "for": "30 s", "reaction": "15 s"},
    },
    {"policy": {"kind": "degrade under load", "pool": "gpus", "above": "8 s", "below": "4 s", "calm": "2 min"}},
    {"policy": {"kind": "roll-out", "pool": "gpus", "every": "2 min", "tiers": ["plus"]}},
    {"policy": {"kind": "waiting room", "total_active": 2000, "new_per_minute": 540}},
    {"policy": {"kind": "quota", "requests": 1}, "from": "15 min", "until": "18 min"},
]
SHORT = {"horizon": "20 min", "control_tick": "15 s", "demand.waves.1.from": "5 min"}
WAIT = 'meltpoint_pool_expected_wait_seconds{pool="gpus"}'


def scenario(*steps, **sets):
    return load("surge", sets={**SHORT, **sets, "playbooks": {"p": list(steps or STEPS)}})


@pytest.fixture(scope="module")
def exported():
    """A scenario, its run, what its gateway saw, and that as metrics."""
    made = scenario()
    run, ticks = with_telemetry(made, "p")
    return made, run, ticks, "".join(openmetrics(made, run, ticks))


def decided(made, text):
    looks = shadow(made, "p", readings(text.splitlines(keepends=True), "it"))
    return decision_table([row for looked in looks for row in looked.rows])


def same(found, run):
    scale = [run.scale if name != "step" and knob_called(name).scaled else 1.0 for name in run.decisions["knob"]]
    full = run.decisions.assign(old=run.decisions["old"] / scale, new=run.decisions["new"] / scale)
    pd.testing.assert_frame_equal(found, full, check_dtype=False, rtol=1e-9)


def samples(text):
    return re.findall(r"^(\w+)(\{.*\})? (\S+) (\S+)$", text, re.MULTILINE)


def as_range(text):
    """The samples as Prometheus answers a range query."""
    series = {}
    for name, labels, value, at in samples(text):
        series.setdefault((name, labels), []).append([float(at), value])
    result = [
        {"metric": {"__name__": name, **dict(re.findall(r'(\w+)="([^"]*)"', labels))}, "values": values}
        for (name, labels), values in series.items()
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def as_lines(text):
    """The samples as a stream, one line an instant."""
    found = {}
    for name, labels, value, at in samples(text):
        found.setdefault(float(at), {})[name + labels] = float(value)
    return "".join(json.dumps({"time": at, "metrics": found[at]}) + "\n" for at in sorted(found))


def test_listening_changes_nothing_and_every_kind_of_policy_decides(exported):
    made, run, _, _ = exported
    pd.testing.assert_frame_equal(run.decisions, simulate(made, "p").decisions)
    kinds = {"hpa", "shed", "degrade under load", "roll-out", "waiting room", "quota"}
    assert kinds <= set(run.decisions["policy"])


@pytest.mark.parametrize("form", [str, as_range, as_lines], ids=["openmetrics", "range query", "json lines"])
def test_on_the_metrics_of_a_run_it_decides_as_the_run_did(exported, form):
    made, run, _, text = exported
    same(decided(made, form(text)), run)


def test_a_slice_is_decided_about_as_the_whole_service():
    bound = {"policy": {"kind": "queue bound", "requests": 400}, "from": "10 min"}
    made = scenario(*STEPS[1:3], bound, scale=0.25)  # GPUs would be rounded to fours
    run, ticks = with_telemetry(made, "p")
    assert 100 in set(run.decisions["new"])  # of the slice
    same(decided(made, "".join(openmetrics(made, run, ticks))), run)


def test_prometheus_own_parser_reads_the_metrics_and_their_totals_are_those_of_the_run(exported):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="prometheus-client is not installed")
    _, run, _, text = exported
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    line, second = recorded(run), 1170.0  # a control tick at which a bin of the timeline ends, too
    counts = line.counts[line.edges[1:] <= second].sum(axis=(0, 2))
    then = pd.Timestamp("2025-03-31", tz="UTC").timestamp() + second
    for name, count in (("meltpoint_attempts", ATTEMPTS), ("meltpoint_wanted_and_in_time", IN_TIME)):
        family = families[name]
        assert family.type == "counter"
        by = {sample.labels["tier"]: sample.value for sample in family.samples if float(sample.timestamp) == then}
        assert [by["plus"], by["free"]] == counts[:, count].tolist()
    begins = {float(family.samples[0].timestamp) for family in families.values() if family.type == "gauge"}
    assert begins == {then - second}


def test_sampled_less_often_counters_lose_nothing(exported):
    made, run, ticks, text = exported
    thin = "".join(openmetrics(made, run, ticks, 60.0))
    attempts = [{(n, ls, at): v for n, ls, v, at in samples(one) if "attempts" in n} for one in (text, thin)]
    assert len(attempts[1]) == len(attempts[0]) / 4
    assert attempts[1].items() <= attempts[0].items()
    with pytest.raises(BadInput, match="multiple of the control tick"):
        list(openmetrics(made, run, ticks, 20.0))


# Its words.


def test_each_decision_says_the_figure_and_the_threshold():
    step = {"policy": {"kind": "degrade under load", "pool": "gpus", "above": "20 s", "below": "4 s"}}
    made = scenario(step)
    stream = [json.dumps({"time": f"2025-03-31 00:{m:02}", "metrics": {WAIT: wait}}) for m, wait in ((1, 3), (2, 21))]
    looks = list(shadow(made, "p", readings(stream, "-")))
    said = [line for looked in looks for line in lines(made, made.playbooks["p"], looked)]
    assert said == [
        "Mon 31 Mar 2025 00:02:00  degrade under load: level for everybody 0 -> 1  (it saw gpus: expected wait 21 s; "
        "degrade under load (above 20 s, below 4 s))"
    ]
    assert any(
        "every 60 s, and the control tick is 15 s" in line
        for line in caveat(made, made.playbooks["p"], [60.0, 120.0], 1)
    )


def test_where_nothing_was_decided_it_says_whether_anything_could_be():
    made = scenario(STEPS[2])
    some, none = (caveat(made, steps, [60.0], 0) for steps in (made.playbooks["p"], []))
    assert some[0].startswith("0 decisions at 1 look,")
    assert some[1] == NONE_MADE
    assert none[1] == NO_STEPS
    assert caveat(made, made.playbooks["p"], [60.0, 75.0], 1)[:2] == [
        "1 decision at 2 looks, from Mon 31 Mar 2025 00:01:00 to Mon 31 Mar 2025 00:01:15 UTC.", NOT_DONE
    ]  # fmt: skip


def test_a_reason_that_several_switches_share_is_given_once_where_they_end():
    when = {"expected_wait": {"above": "20 s", "below": "4 s"}, "pool": "gpus"}
    kinds = ({"kind": "shed", "share": 0.5}, {"kind": "queue bound", "requests": 20})
    made = scenario(*({"policy": policy, "when": when} for policy in kinds))
    waits = ((1, 3), (2, 21), (3, 2))
    stream = [json.dumps({"time": f"2025-03-31 00:{m:02}", "metrics": {WAIT: wait}}) for m, wait in waits]
    *_, last = shadow(made, "p", readings(stream, "-"))
    ended = [line for line in lines(made, made.playbooks["p"], last) if "not set any more" in line]
    assert len(ended) == 2
    assert all(line.count("expected wait of gpus 2 s under 4 s") == 1 for line in ended)


def test_lines_are_answered_as_they_come():
    made = scenario({"policy": {"kind": "degrade under load", "pool": "gpus", "above": "20 s", "below": "4 s"}})
    asked = []

    def stream():
        for minute in range(3):
            asked.append(minute)
            yield json.dumps({"time": f"2025-03-31 00:0{minute}", "metrics": {WAIT: 30}})

    looks = shadow(made, "p", readings(stream(), "-"))
    assert next(looks).rows
    assert asked == [0]


# What it refuses.


def test_a_counter_that_fell_began_anew_and_a_value_is_stale_after_five_minutes():
    made = scenario()
    key, gauge = ("meltpoint_attempts_total", ("free", "image")), ("meltpoint_pool_requests_queued", ("gpus",))
    known, origin = Readings(made), made.start.timestamp()
    counts = []
    for second, total in ((0, 100.0), (60, 130.0), (120, 7.0)):
        known.take(Reading(origin + second, {key: total, gauge: 4.0}))
        counts.append(float(known.telemetry(second).arrivals.sum()))
    assert counts == [0, 30, 7]
    assert known.telemetry(420.0).pools["gpus"].queued == 4
    with pytest.raises(BadInput, match="metrics lack a figure"):
        _ = known.telemetry(421.0).pools["gpus"].queued


@pytest.mark.parametrize("number", range(len(STEPS) - 1))
def test_no_policy_acts_on_figures_that_nobody_gave(number):
    made = scenario(STEPS[number])
    line = json.dumps({"time": "2025-03-31 00:01", "metrics": {'meltpoint_pool_gpus_busy{pool="research"}': 1}})
    later = line.replace("00:01", "00:02")
    if STEPS[number]["policy"]["kind"] == "shed":
        made = scenario({**STEPS[number], "when": {"refused": {"above": "50 %", "below": "10 %"}}})
    with pytest.raises(BadInput, match="metrics lack a figure"):
        list(shadow(made, "p", readings([line, later], "-")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{WAIT} 3\n", "have no time"),
        (f"{WAIT} -3 1743379200\n", "not negative"),
        ("up 1 1743379200\n", "no metrics of a gateway"),
        ("", "no metrics of a gateway"),
        ("meltpoint_pool_gpus 3 1743379200\n", "no such label"),
        (f'{WAIT} 3 1743379200\n{WAIT[:-1]},pod="b"}} 4 1743379200\n', "differ"),
        (f"{WAIT.replace('gpus', 'cpus')} 3 1743379200\n", "no such pool"),
        ('{"data": {"resultType": "vector", "result": []}}', "no answer to a range query"),
        ('{"data": 3', "no answer to a range query"),
        ('{"time": 1, "metrics": 5}', "line 1 cannot be read"),
        ('{"time": "noon", "metrics": {}}', "line 1 cannot be read"),
        ('{"time": 2, "metrics": {}}\n{"time": 1, "metrics": {}}', "no later than"),
    ],
)
def test_metrics_that_cannot_be_understood_are_refused(text, said):
    with pytest.raises(BadInput, match=said):
        decided(scenario(STEPS[2]), text)


def test_metrics_from_before_the_start_are_refused_and_cells_have_several_gateways(tmp_path):
    early = tmp_path / "early.json"
    early.write_text(json.dumps({"time": "2020-01-01", "metrics": {WAIT: 1}}) + "\n")
    with pytest.raises(BadInput, match="before the start"):
        shadow_command("surge", str(early))
    with pytest.raises(BadInput, match="gateway of its own"):
        with_telemetry(load("surge", sets={"cells": 2}))
