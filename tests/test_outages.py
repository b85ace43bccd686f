"""An outage and a slowdown take away exactly what they say, between the instants that they say."""

import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.policies.outages import Outage, Slowdown
from sim.policies.playbook import Step
from sim.results.costs import gpu_hours
from tests.fleets import changes, surge
from tests.test_engines import assert_alike
from tests.test_faults import done

SURGE = surge(
    control_tick="5 s",
    demand=[{"kind": "steady", "rate": "2 per s"}],
    record="timeline",
    behaviour={"patience": {"kind": "never"}},
)


def between(kind, **settings):
    """In force from 10 to 20 minutes of an hour that asks for twice what ten GPUs can do: one image a second."""
    return Step.model_validate({"policy": {"kind": kind, **settings}, "from": "10 min", "until": "20 min"})


def test_half_the_gpus_do_half_the_work_while_they_are_lost_and_are_counted_as_failed():
    run = simulate(SURGE, [between("outage", share="50 %")])
    assert changes(run) == [(0, 10), (600, 5), (1200, 10)]
    assert [done(run, *span) for span in ((300, 600), (900, 1200), (1500, 1800))] == pytest.approx(
        [1, 0.5, 1], rel=0.03
    )
    assert gpu_hours(run).loc["gpus", "failed"] == pytest.approx(5 * 600 / 3600)


def test_all_of_the_gpus_serve_nobody():
    run = simulate(SURGE, [between("outage")])
    assert done(run, 660, 1200) == 0
    assert done(run, 1500, 1800) == pytest.approx(1, rel=0.03)


def test_batches_that_take_two_and_a_half_times_as_long_are_as_many_fewer():
    run = simulate(SURGE, [between("slowdown", times=2.5)])
    assert [done(run, *span) for span in ((300, 600), (900, 1200), (1500, 1800))] == pytest.approx(
        [1, 0.4, 1], rel=0.03
    )


@pytest.mark.parametrize("step", [between("outage", share="30 %"), between("slowdown", times=3, pools=["gpus"])])
def test_both_engines_play_it_to_the_last_bit(step):
    assert_alike(*(simulate(surge(), [step], engine=engine) for engine in ("simpy", "compiled")))


def test_settings_must_make_sense():
    for kind, wrong in ((Outage, {"share": 0}), (Outage, {"share": 1.2}), (Slowdown, {}), (Slowdown, {"times": 1})):
        with pytest.raises(ValidationError):
            kind(**wrong)


@pytest.mark.parametrize("step", [between("outage", pools=["tpus"]), between("slowdown", times=2, pools=["tpus"])])
def test_a_pool_that_is_not_there_is_named(step):
    with pytest.raises(BadInput, match="tpus"):
        simulate(SURGE, [step])
