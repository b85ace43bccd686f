"""The compiled engine's machine code is made once on a machine; whoever waits for it should know."""

from sim.engine.simulate import simulate
from sim.model.jit import compiled_before
from sim.profile.profile import constant_profile
from sim.scenario.scenario import Scenario

TINY = {
    "title": "nothing much",
    "horizon": "10 s",
    "tiers": {"all": {"share": 1}},
    "features": {"image": {"share": 1, "pool": "gpus", "slo": "1 s", "spec": {"model": "model"}}},
    "pools": {"gpus": {"gpus": 1}},
    "demand": [{"kind": "steady", "rate": "1 per s"}],
}


def compile_now() -> None:
    """Make the machine code, unless it is there; half a minute, and a line on standard error says so."""
    if not compiled_before():
        simulate(Scenario.from_dict(TINY, profiles={"model": constant_profile("model", 1.0)}), engine="compiled")
