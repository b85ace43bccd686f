"""meltpoint: when do the GPUs melt, and which playbook keeps the service alive?"""

from sim.controls import Controls, Telemetry
from sim.errors import BadInput
from sim.load import load
from sim.run import Run, load_run
from sim.scenario import Scenario
from sim.simulate import simulate

__all__ = ["BadInput", "Controls", "Run", "Scenario", "Telemetry", "load", "load_run", "simulate"]
