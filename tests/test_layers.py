"""Imports point strictly down the floors of the house, without circles, and each heavy library has its place."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SIM = Path(__file__).parent.parent / "sim"

# From the ground up; a name ending in a dot is a folder, which lies on one floor.
FLOORS = [
    ["errors", "units", "streams", "request", "schema"],
    ["rules", "profile_file", "shipped"],
    ["service_time"],
    ["profile"],
    ["controls"],
    ["policies.", "demand.signups", "demand.users"],
    ["scenario"],
    ["load", "demand.people"],
    ["clock"],
    ["service"],
    ["users"],
    ["control"],
    ["run"],
    ["simulate"],
    ["metrics", "theory"],
    ["costs", "verdict"],
    ["compare"],
    ["plots."],
    ["report."],
    ["cli"],
]
SIDE_DOORS: list[str] = []

# Which modules may import a library; where a library is not named here, all may.
PLACES = {
    "simpy": ["clock", "service", "users", "control", "simulate"],
    "numba": ["streams", "rules", "compiled"],
    "matplotlib": ["plots.", "report."],
    "torch": ["bench.", "live."],
    "diffusers": ["bench.", "live."],
    "pandas": ["run", "metrics", "costs", "verdict", "theory", "compare", "plan", "sweep", "plots.", "report.", "cli"],
    "jinja2": ["report."],
    "typer": ["cli"],
    "rich": ["cli", "console"],
}
