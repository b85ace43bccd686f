"""The compiled engine's machine code is made once on a machine; this makes it before work is timed or shared out."""

from sim.engine.play import Settings, play
from sim.model.jit import compiled_before
from sim.profile.profile import constant_profile
from sim.scenario.scenario import Scenario

TINY = {
    "title": "the smallest service",
    "horizon": "10 s",
    "tiers": {"all": {"share": 1}},
    "features": {"image": {"share": 1, "pool": "gpus", "slo": "1 s", "spec": {"model": "model"}}},
    "pools": {"gpus": {"gpus": 1}},
    "demand": [{"kind": "steady", "rate": "1 per s"}],
}


def compile_now() -> None:
    """Make the machine code, unless it is there; this takes one to two minutes, announced on standard error."""
    if not compiled_before():
        run_tiny()


def run_tiny() -> None:
    """The smallest run, which makes the machine code or loads it."""
    play(Scenario.from_dict(TINY, profiles={"model": constant_profile("model", 1.0)}), Settings("none", ()))
