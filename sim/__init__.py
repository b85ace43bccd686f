"""meltpoint: when do the GPUs melt, and which playbook keeps the service alive?

Everything a notebook needs is here: `load` a scenario, `simulate` it or `compare` its playbooks, read the `verdict`.
"""

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim import plots as plots
    from sim.demand.fitting.fitted import fit_demand as fit_demand
    from sim.engine.simulate import simulate as simulate
    from sim.errors import BadInput as BadInput
    from sim.model.controls import Controls as Controls
    from sim.model.controls import Policy as Policy
    from sim.model.controls import Telemetry as Telemetry
    from sim.policies.playbook import Step as Step
    from sim.profile.profile import profile_called as profile_called
    from sim.results import metrics as metrics
    from sim.results.intents import intents as intents
    from sim.results.latencies import latencies as latencies
    from sim.results.metrics import outcomes as outcomes
    from sim.results.metrics import pool_timeline as pool_timeline
    from sim.results.run import Run as Run
    from sim.results.run import load_run as load_run
    from sim.results.verdict import verdict as verdict
    from sim.scenario.load import load as load
    from sim.scenario.scenario import Scenario as Scenario
    from sim.studies.check import check as check
    from sim.studies.compare import compare as compare
    from sim.studies.decide import decide as decide
    from sim.studies.demand_multiple import demand_multiple as demand_multiple
    from sim.studies.in_words import sentences as sentences
    from sim.studies.lead_time import order_by as order_by
    from sim.studies.money_study import money_study as money_study
    from sim.studies.rescue import rescue as rescue
    from sim.studies.selection import pick_best as pick_best
    from sim.studies.size import size as size
    from sim.studies.storm_map import storm_map as storm_map
    from sim.studies.sweep import sweep as sweep
    from sim.studies.tune import tune as tune
    from sim.studies.uncertain import load_uncertain as load_uncertain
    from sim.studies.uncertain import uncertain as uncertain

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

__all__ = sorted(["metrics", "plots", *(name for names in PLACES.values() for name in names)])


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
