"""meltpoint: when do the GPUs melt, and which playbook keeps the service alive?"""

from sim.cells import simulate_cells
from sim.compare import Comparison, compare
from sim.controls import Controls, Telemetry
from sim.errors import BadInput
from sim.load import load
from sim.run import Run, load_run
from sim.scenario import Scenario
from sim.simulate import simulate
from sim.verdict import Verdict, verdict

__all__ = [
    "BadInput",
    "Comparison",
    "Controls",
    "Run",
    "Scenario",
    "Telemetry",
    "Verdict",
    "compare",
    "load",
    "load_run",
    "simulate",
    "simulate_cells",
    "verdict",
]
