"""The compiled engine's machine code is made once on a machine; this makes it before work is timed or shared out."""

from sim.engine.compiled.engine import CompiledEngine
from sim.engine.play import Settings, controls_of, play
from sim.model.jit import compiled_before
from sim.profile.profile import constant_profile
from sim.scenario.people import people_of
from sim.scenario.scenario import Scenario

TINY = {
    "title": "the smallest service",
    "horizon": "10 s",
    "tiers": {"one": {"share": 0.5}, "other": {"share": 0.5}},
    "features": {"image": {"share": 1, "pool": "gpus", "slo": "1 s", "spec": {"model": "model"}}},
    "pools": {"gpus": {"gpus": 1}},
    "demand": [{"kind": "steady", "rate": "1 per s"}],
}


def compile_now() -> None:
    """Make the machine code, unless it is there; this takes one to two minutes, announced on standard error."""
    if not compiled_before():
        run_tiny()
        scenario = tiny()
        CompiledEngine(scenario, *people_of(scenario, 1), controls_of(scenario), 1, scenario.recording).compile_all()


def run_tiny() -> None:
    """The smallest run, which makes the machine code that every run needs, or loads it."""
    play(tiny(), Settings("none", ()))


def tiny() -> Scenario:
    return Scenario.from_dict(TINY, profiles={"model": constant_profile("model", 1.0)})
