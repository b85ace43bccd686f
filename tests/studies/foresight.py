"""How well `meltpoint watch` foresees: launches of seven shapes, simulated, watched, and the forecasts scored."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from sim.demand.recordings.attempts import wilson
from sim.engine.parallel import Progress, in_parallel
from sim.profile.profile import constant_profile
from sim.results.gateway_metrics import openmetrics
from sim.results.gateway_readings import Readings, readings
from sim.scenario.scenario import Scenario
from sim.studies.shadow import with_telemetry
from sim.studies.watch import Forecast, Watcher, is_full
from sim.studies.watch_score import Score, score
from sim.validation.study import Row, Study

SHAPES = ("exponential", "logistic", "ramp", "spike", "pulse", "shock", "steady")
INCIDENTS = 35  # five of each shape
BEGINS, ENDS = 20, 110  # minutes: when the launch is, and when the incident is over
LOOKS = (2, 5, 8, 12, 18, 26, 36, 48)  # minutes after the launch
GPUS, SECONDS = 20, 10.0  # of one service


class Outcome(NamedTuple):
    """An incident's forecasts, and what was so: soon, all looks, in the first ten minutes of the launch and after."""

    shape: str
    soon: Score
    later: Score
    every: Score


def rates(number: int) -> tuple[str, np.ndarray]:
    """People a second in each minute of an incident: the shape, its speed and its size are drawn."""
    rng = np.random.default_rng(number)
    shape, t = SHAPES[number % len(SHAPES)], np.arange(ENDS) - float(BEGINS)
    up, on = np.maximum(t + 0.5, 0.0), t >= 0
    size = math.exp(rng.uniform(math.log(2), math.log(30)))  # of the launch, over what was before
    speed = rng.uniform(0, 1)

    def between(low: float, high: float) -> float:
        return float(low * (high / low) ** speed)

    forms = {
        "exponential": lambda: np.minimum(2.0 ** (up / between(4, 25)) - 1, 4 * size),
        "logistic": lambda: size * on / (1 + 2.0 ** (4 - t / between(3, 15))),
        "ramp": lambda: size * np.minimum(up / between(20, 90), 1),
        "spike": lambda: size * (on & (t < between(20, 90))),
        "pulse": lambda: size * up / (m := between(8, 45)) * np.exp(1 - up / m),
        "shock": lambda: size * on * (1 + up / between(3, 20)) ** -0.8,
        "steady": lambda: 0.3 * np.sin(2 * np.pi * t / between(60, 400)),
    }
    found = (1 + forms[shape]()) * np.exp(np.cumsum(rng.normal(0, 0.02, ENDS)))
    most = 1.1 if shape == "steady" else 2.8
    peak = math.exp(rng.uniform(math.log(0.85), math.log(most)))  # over what the GPUs can do
    return shape, found * peak / found.max() * GPUS / SECONDS


def incident(number: int) -> tuple[str, Scenario]:
    shape, found = rates(number)
    points = [[f"{k} min", f"{rate!r} per s"] for k, rate in enumerate(found.tolist())]
    document = {
        "title": "an incident",
        "horizon": f"{ENDS} min",
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "gpus", "slo": "1 min", "spec": {"model": "constant"}}},
        "pools": {"gpus": {"gpus": GPUS}},
        "demand": [{"kind": "piecewise", "join": "held", "points": points}],
        "behaviour": {
            "requests": {"kind": "fixed", "requests": 1},
            "patience": {"kind": "exponential", "mean": "3 min"},
        },
        "playbooks": {"none": []},
    }
    return shape, Scenario.from_dict(document, profiles={"constant": constant_profile("constant", SECONDS)})


def watched(_: None, number: int, report: Progress) -> Outcome:
    """The scores of the forecasts of one incident."""
    shape, scenario = incident(number)
    run, ticks = with_telemetry(scenario, seed=number)
    full = next((seen.now for seen in ticks if is_full(scenario, seen)), math.inf)
    watcher, known, looks = Watcher(scenario, playbooks=["none"]), Readings(scenario), []
    for reading in readings(openmetrics(scenario, run, ticks), "the incident"):
        known.take(reading)
        seen = known.telemetry(reading.time - scenario.start.timestamp())
        watcher.take(seen)
        if seen.now / 60 - BEGINS in LOOKS and seen.now < full and (found := watcher.forecast(seen)) is not None:
            looks.append(found)
            report(seen.now / scenario.horizon)

    def scored(some: list[Forecast]) -> Score:
        return score(some, full, ticks[-1].now)

    early = [one for one in looks if one.now <= (BEGINS + 10) * 60]
    return Outcome(shape, scored(early), scored([one for one in looks if one not in early]), scored(looks))


def foresight_study(progress: Progress | None = None) -> Study:
    """The share of 80 % intervals that held the outcome, CRPS against a straight line, and alarms."""
    found = in_parallel(watched, None, [(number,) for number in range(1, INCIDENTS + 1)], progress=progress)
    rows = [
        covered("looks in the first 10 min", [one.soon for one in found]),
        covered("later looks", [one.later for one in found]),
        covered("all looks", [one.every for one in found]),
    ]
    some = [one.every for one in found if one.every.looks]
    weights = np.array([one.looks for one in some], dtype=float)
    ours, line = (
        float(np.average([getattr(one, name) for one in some], weights=weights)) / 60 for name in ("crps", "rival")
    )
    gain = np.array([one.rival - one.crps for one in some]) / 60
    half = float(stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / math.sqrt(len(gain)))
    note = f"better by {gain.mean():.1f} +- {half:.1f} min an incident (95 %)"
    rows.append(Row("CRPS", "of a straight line through the load", "min", line, ours, 0.0, line, note))
    became = [one.every for one in found if math.isfinite(one.every.full) and one.every.looks]
    leads = np.array([one.lead for one in became if math.isfinite(one.lead)]) / 60
    share, low, high = wilson(len(leads), len(became))
    note = f"{low:.2f} to {high:.2f} (95 %)"
    rows.append(Row("alarms", "share before the GPUs were full", f"of {len(became)}", math.nan, share, note=note))
    early, middle, late = np.quantile(leads, [0.25, 0.5, 0.75])
    note = f"half of them {early:.0f} to {late:.0f}"
    rows.append(Row("alarms", "how long before, median", "min", math.nan, float(middle), note=note))
    wrong = sum(one.every.false_alarms for one in found)
    quiet = sum(one.every.looks for one in found if math.isinf(one.every.full))
    rows.append(Row("alarms", "false, where the GPUs never were full", f"of {quiet} looks", math.nan, float(wrong)))
    return Study(
        name="foresight",
        title="What a watch foresees",
        question="How often do the intervals of `meltpoint watch` hold what comes, and how early is its alarm?",
        source=f"{INCIDENTS} simulated launches: {', '.join(SHAPES)}; speed, size and fleet drawn",
        rows=rows,
        notes=["Looks of one incident share their data: intervals of coverage are by incident (bootstrap)."],
        apart=True,
    )


def covered(case: str, scores: list[Score]) -> Row:
    """The share of 80 % intervals that held the outcome; its own 95 % interval (bootstrap) must reach 80 %."""
    looks = np.array([one.looks for one in scores if one.looks], dtype=float)
    inside = np.array([one.inside[0] * one.looks for one in scores if one.looks])
    draws = np.random.default_rng(1).integers(0, len(looks), (2000, len(looks)))
    low, high = np.quantile(inside[draws].sum(axis=1) / looks[draws].sum(axis=1), [0.025, 0.975])
    share, half = float(inside.sum() / looks.sum()), float(high - low) / 2
    note = f"{low:.2f} to {high:.2f} (95 %)"
    return Row(case, "80 % intervals that held the outcome", f"of {looks.sum():.0f}", 0.8, share, 0.8 - half, 1.0, note)
