"""meltpoint: when do the GPUs melt, and which playbook keeps the service alive?

Everything a notebook needs is here: `load` a scenario, `simulate` it or `compare` its playbooks, read the `verdict`.
"""

from typing import TYPE_CHECKING, Any

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, Policy, Telemetry
from sim.policies.playbook import Step
from sim.results import metrics
from sim.results.intents import intents
from sim.results.latencies import latencies
from sim.results.metrics import outcomes, pool_timeline
from sim.results.run import Run, load_run
from sim.results.verdict import sentences, verdict
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.studies.check import check
from sim.studies.compare import compare
from sim.studies.decide import decide
from sim.studies.demand_multiple import demand_multiple
from sim.studies.rescue import rescue
from sim.studies.selection import pick_best
from sim.studies.size import size
from sim.studies.storm_map import storm_map
from sim.studies.sweep import sweep
from sim.studies.tune import tune
from sim.studies.uncertain import load_uncertain, uncertain

if TYPE_CHECKING:
    from sim import plots

__all__ = [
    "BadInput",
    "Controls",
    "Policy",
    "Run",
    "Scenario",
    "Step",
    "Telemetry",
    "check",
    "compare",
    "decide",
    "demand_multiple",
    "intents",
    "latencies",
    "load",
    "load_run",
    "load_uncertain",
    "metrics",
    "outcomes",
    "pick_best",
    "plots",
    "pool_timeline",
    "rescue",
    "sentences",
    "simulate",
    "size",
    "storm_map",
    "sweep",
    "tune",
    "uncertain",
    "verdict",
]


def __getattr__(name: str) -> Any:
    """Import sim.plots when it is first used: matplotlib takes longer to import than all the rest."""
    if name == "plots":
        from importlib import import_module

        return import_module("sim.plots")
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
