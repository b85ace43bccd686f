"""meltpoint: when do the GPUs melt, and which playbook keeps the service alive?

Everything a notebook needs is here: `load` a scenario, `simulate` it or `compare` its playbooks, read the `verdict`.
"""

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim import plots
    from sim.demand.fitting.fitted import fit_demand
    from sim.engine.simulate import simulate
    from sim.errors import BadInput
    from sim.model.controls import Controls, Policy, Telemetry
    from sim.policies.playbook import Step
    from sim.profile.profile import profile_called
    from sim.results import metrics
    from sim.results.intents import intents
    from sim.results.latencies import latencies
    from sim.results.metrics import outcomes, pool_timeline
    from sim.results.run import Run, load_run
    from sim.results.verdict import verdict
    from sim.scenario.load import load
    from sim.scenario.scenario import Scenario
    from sim.studies.check import check
    from sim.studies.compare import compare
    from sim.studies.decide import decide
    from sim.studies.demand_multiple import demand_multiple
    from sim.studies.in_words import sentences
    from sim.studies.lead_time import order_by
    from sim.studies.money_study import money_study
    from sim.studies.rescue import rescue
    from sim.studies.selection import pick_best
    from sim.studies.size import size
    from sim.studies.storm_map import storm_map
    from sim.studies.sweep import sweep
    from sim.studies.tune import tune
    from sim.studies.uncertain import load_uncertain, uncertain

# Where each name lives: imported when it is first used, because all of them together take seconds.
PLACES = {
    "demand.fitting.fitted": ("fit_demand",),
    "engine.simulate": ("simulate",),
    "errors": ("BadInput",),
    "model.controls": ("Controls", "Policy", "Telemetry"),
    "policies.playbook": ("Step",),
    "profile.profile": ("profile_called",),
    "results.intents": ("intents",),
    "results.latencies": ("latencies",),
    "results.metrics": ("outcomes", "pool_timeline"),
    "results.run": ("Run", "load_run"),
    "results.verdict": ("verdict",),
    "scenario.load": ("load",),
    "scenario.scenario": ("Scenario",),
    "studies.check": ("check",),
    "studies.compare": ("compare",),
    "studies.decide": ("decide",),
    "studies.demand_multiple": ("demand_multiple",),
    "studies.in_words": ("sentences",),
    "studies.lead_time": ("order_by",),
    "studies.money_study": ("money_study",),
    "studies.rescue": ("rescue",),
    "studies.selection": ("pick_best",),
    "studies.size": ("size",),
    "studies.storm_map": ("storm_map",),
    "studies.sweep": ("sweep",),
    "studies.tune": ("tune",),
    "studies.uncertain": ("load_uncertain", "uncertain"),
}

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
    "fit_demand",
    "intents",
    "latencies",
    "load",
    "load_run",
    "load_uncertain",
    "metrics",
    "money_study",
    "order_by",
    "outcomes",
    "pick_best",
    "plots",
    "pool_timeline",
    "profile_called",
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


def imported(module: str) -> Any:
    """A module of the package, imported without a search for garbage, which takes a tenth of a small run.

    Nearly all that an import makes stays to the end of the process.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        return import_module(f"sim.{module}")
    finally:
        if searching:
            gc.enable()


def __getattr__(name: str) -> Any:
    """Import a name of the front door."""
    if name == "plots":
        return imported("plots")
    if name == "metrics":
        return imported("results.metrics")
    for module, names in PLACES.items():
        if name in names:
            return globals().setdefault(name, getattr(imported(module), name))
    raise AttributeError(f"module 'sim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
