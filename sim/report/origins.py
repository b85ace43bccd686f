"""The sources of a report's figures: profiles, behaviour, prices and footprint; and the software."""

from typing import Any

from sim.report import words
from sim.report.tables import Table
from sim.results.metrics import outcomes
from sim.results.run import Run
from sim.scenario.provenance import figures_of


def origins(runs: list[Run]) -> list[Table]:
    """All sources; each is listed once, even if several runs share it."""
    return [
        *sources([(run.manifest["profiles"], run.manifest["scenario"]) for run in runs]),
        Table(
            "The runs",
            ["playbook", "seed", "engine", "slice", "attempts", "computed in", "software"],
            [software(run) for run in runs],
            labels=7,
        ),
    ]


def sources(parts: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[Table]:
    """The sources of some profiles, as a manifest has them, and of the figures of scenarios, as plain values."""
    return [
        Table(
            "Service times and power: the profiles",
            ["profile", "provenance", "GPU", "source", "idle power", "content (SHA-256)"],
            unique([row for known, _ in parts for row in profiles(known)]),
            labels=6,
        ),
        Table(
            "Behaviour, serving, footprint, quality and prices",
            ["figure", "value", "provenance", "source"],
            unique([list(row) for _, document in parts for row in figures_of(document)]),
            labels=4,
            note="Times are in seconds. 'assumed' means that no measurement is known: doubt these figures first.",
        ),
    ]


def unique(rows: list[list[str]]) -> list[list[str]]:
    return [list(row) for row in dict.fromkeys(map(tuple, rows))]


def profiles(known: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, facts in known.items():
        idle = facts["idle_power_source"] or "not in the profile"
        rows.append([name, facts["provenance"], facts["gpu"], facts["source"], idle, facts["sha256"][:16]])
    return [[str(cell) for cell in row] for row in rows]


def software(run: Run) -> list[str]:
    m = run.manifest
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    attempts = int(outcomes(run, window=(0.0, run.horizon))["attempts"].sum())
    size = "whole service" if run.scale == 1 else f"1/{1 / run.scale:g}"
    wall = words.seconds(float(m["wall_seconds"]))
    return [str(m["playbook"]), str(m["seed"]), str(m["engine"]), size, f"{attempts:,}", wall, versions]
