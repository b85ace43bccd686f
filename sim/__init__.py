"""meltpoint: when do the GPUs melt, and which playbook keeps the service alive?"""

from typing import TYPE_CHECKING, Any

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, Policy, Telemetry
from sim.policies.playbook import Step
from sim.results import metrics
from sim.results.latencies import latencies
from sim.results.metrics import intents, outcomes, pool_timeline
from sim.results.run import Run, load_run
from sim.results.verdict import Verdict, sentences, verdict
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.studies.compare import Comparison, compare
from sim.studies.rescue import Rescue, rescue
from sim.studies.storm_map import storm_map

if TYPE_CHECKING:
    from sim import plots

__all__ = [
    "BadInput",
    "Comparison",
    "Controls",
    "Policy",
    "Rescue",
    "Run",
    "Scenario",
    "Step",
    "Telemetry",
    "Verdict",
    "compare",
    "intents",
    "latencies",
    "load",
    "load_run",
    "metrics",
    "outcomes",
    "plots",
    "pool_timeline",
    "rescue",
    "sentences",
    "simulate",
    "simulate_cells",
    "storm_map",
    "verdict",
]


def __getattr__(name: str) -> Any:
    """sim.plots is imported when it is asked for: matplotlib takes longer than all the rest."""
    if name == "plots":
        from importlib import import_module

        return import_module("sim.plots")
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
