"""A light model first, or a cache: what share is made how, and how much more a fleet can do."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.quality import CURVES, ApproximateCache, Cascade, deferred
from sim.results.run import Run
from tests.random_scenarios import constant, plain
from tests.studies.theory.queues import z

# Seconds on an A100 of one image, measured for DiffServe; what is deferred takes both.
TURBO, HEAVY = 0.10, 1.78


def seen(wait: float = 0) -> Telemetry:
    zero = np.zeros((1, 1))
    return Telemetry(0.0, {"gpus": PoolTelemetry(4, 4, 0, 4, wait)}, zero, zero, zero, zero, zero, zero, 0, 0)


def mix(policy: Cascade | ApproximateCache, wait: float = 0) -> tuple[float, float, float]:
    controls = Controls(["free"], ["image"])
    policy.act(seen(wait), controls)
    return tuple(controls.knob(name, "free", "image") for name in ("level", "other", "mixed"))  # type: ignore[return-value]


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_curves_pass_through_what_was_measured_and_never_fall(curve):
    points = CURVES[curve]
    for threshold, share in points.items():
        assert deferred(points, threshold) == pytest.approx(share)
    assert (deferred(points, 0), deferred(points, 1)) == (0, 1)
    shares = [deferred(points, t) for t in np.linspace(0, 1, 301)]
    assert (np.diff(shares) >= 0).all()


def test_between_two_points_it_is_a_line():
    assert deferred(CURVES["sd-turbo to sd-v1.5"], 0.15) == pytest.approx((0.449 + 0.582) / 2)
    assert deferred({0.5: 0.2}, 0.25) == pytest.approx(0.1)


def test_the_knobs_are_the_mix():
    assert mix(Cascade(threshold=0.1)) == (1, 0, pytest.approx(0.449))
    assert mix(Cascade(light=0, heavy=2, curve={"20 %": "40 %"}, threshold=0.2)) == (0, 2, pytest.approx(0.4))
    assert mix(ApproximateCache(hits=0.21, level=2)) == (0, 2, 0.21)


def test_the_threshold_goes_down_while_the_wait_is_too_long_and_up_to_where_it_was():
    policy = Cascade(threshold=0.2, keep_wait="30 s", pool="gpus", step=0.1, curve={0.5: 0.5})
    waits = [0, 31, 31, 31, 20, 14, 14, 14]
    assert [mix(policy, wait)[2] for wait in waits] == pytest.approx([0.2, 0.1, 0, 0, 0, 0.1, 0.2, 0.2])


def saturated(policy: dict[str, Any] | None, *, seed: int, level_seconds: float) -> Run:
    """Ten times what 2 GPUs can do at HEAVY seconds an image, for half an hour; level 1 takes level_seconds."""
    scenario = plain(
        {"heavy": constant(HEAVY), "less": constant(level_seconds), "both": constant(TURBO + HEAVY)},
        horizon="10 min",
        features={"image": {"spec": {"model": "heavy"}, "ladder": [{"model": "less"}, {"model": "both"}]}},
        pools={"gpus": {"gpus": 2, "max_batch": 1}},
        demand=[{"kind": "steady", "rate": "11 per second"}],
        playbooks={"one": [{"policy": policy}] if policy else []},
    )
    return simulate(scenario, seed=seed)


def throughput(run: Run) -> float:
    """Images a second."""
    return float((run.requests["outcome"] == "served").sum() / run.horizon)


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3])
def test_a_cascade_multiplies_capacity_by_one_over_its_mean_relative_cost(threshold):
    policy = {"kind": "cascade", "threshold": threshold, "heavy": 2}
    runs = [saturated(policy, seed=seed, level_seconds=TURBO) for seed in range(1, 11)]
    share = deferred(CURVES["sd-turbo to sd-v1.5"], threshold)
    degraded = np.array([(run.requests["level"][run.requests["outcome"] == "served"] == 1).mean() for run in runs])
    assert abs(z(degraded, 1 - share)) < 3.5
    cost = TURBO + share * HEAVY
    seconds = np.array([1 / throughput(run) for run in runs])
    assert abs(z(seconds, cost / 2)) < 3.5
    assert seconds.mean() == pytest.approx(cost / 2, rel=0.02)


def test_a_cache_multiplies_capacity_by_one_over_what_is_left_to_do():
    """A quarter of images skips 60 % of the steps."""
    hits, skipped = 0.25, 0.6
    policy = {"kind": "approximate cache", "hits": hits}
    runs = [saturated(policy, seed=seed, level_seconds=HEAVY * (1 - skipped)) for seed in range(1, 11)]
    plainly = throughput(saturated(None, seed=1, level_seconds=HEAVY))
    assert plainly == pytest.approx(2 / HEAVY, rel=0.01)
    gained = np.array([plainly / throughput(run) for run in runs])
    assert gained.mean() == pytest.approx(1 - hits * skipped, rel=0.01)


def test_a_cascade_that_keeps_a_wait_survives_what_drowns_a_fixed_one():
    def waits(**more: Any) -> np.ndarray:
        scenario = plain(
            {"heavy": constant(4.0), "light": constant(0.5), "both": constant(4.5)},
            horizon="1 h",
            control_tick="5 s",
            features={"image": {"spec": {"model": "heavy"}, "ladder": [{"model": "light"}, {"model": "both"}]}},
            pools={"gpus": {"gpus": 4, "max_batch": 1}},
            demand=[{"kind": "steady", "rate": "2 per second"}],
            playbooks={"one": [{"policy": {"kind": "cascade", "heavy": 2, "threshold": 0.4, **more}}]},
        )
        rows = simulate(scenario).requests
        return (rows["started"] - rows["arrived"])[rows["arrived"].between(600, 3000)].fillna(np.inf).to_numpy()

    assert np.median(waits()) > 300
    kept = waits(keep_wait="20 s", pool="gpus")
    assert np.median(kept) < 30
    assert kept.max() < 90


@pytest.mark.parametrize(
    "wrong",
    [
        {"light": 0, "heavy": 0},
        {"keep_wait": "30 s"},
        {"pool": "gpus"},
        {"curve": {0.1: 0.5, 0.2: 0.4}},
        {"curve": "from nowhere"},
        {"threshold": 2},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Cascade(**wrong)
