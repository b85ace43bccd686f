"""The sources of a report's figures: profiles, behaviour, prices and footprint; and the software."""

import math
from typing import Any

from pydantic import ValidationError

from sim.demand.behaviour import Behaviour
from sim.demand.season import Season
from sim.demand.sources import Opening
from sim.demand.word_of_mouth import WordOfMouth
from sim.errors import BadInput
from sim.report import words
from sim.report.tables import Table
from sim.results.metrics import outcomes
from sim.results.run import Run
from sim.scenario.parts import Feature, Footprint, Noise, Pool, Serving, Tier
from sim.schema import Strict
from sim.wording import plain_value


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
            unique([row for _, document in parts for row in assumptions(document)]),
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


def assumptions(document: dict[str, Any]) -> list[list[str]]:
    """Every figure that has a default with a source, and where its value comes from in this scenario."""
    parts: list[tuple[type[Strict], dict[str, Any], str]] = [
        (Behaviour, mapping(document.get("behaviour"), "behaviour"), "behaviour"),
        (Serving, mapping(document.get("serving"), "serving"), "serving"),
        (Footprint, mapping(document.get("footprint"), "footprint"), "footprint"),
        *demand_parts(document.get("demand")),
        *[
            (Feature, given, f"features.{name}")
            for name, given in mapping(document.get("features"), "features").items()
        ],
        *[(Pool, given, f"pools.{name}") for name, given in mapping(document.get("pools"), "pools").items()],
    ]
    rows = []
    for model, given, path in parts:
        try:
            checked = model.model_validate(given)
        except ValidationError as wrong:
            message = "the scenario in this run's manifest cannot be read"
            raise BadInput(message, key=path, value=wrong.errors()[0]["input"]) from None
        rows += provenance_rows(checked, given, path)
    return rows + prices(document.get("tiers") or {})


def prices(tiers: dict[str, Any]) -> list[list[str]]:
    """The figures of tiers that matter for their revenue; none where nobody pays."""
    checked = {name: Tier.model_validate(given) for name, given in tiers.items()}
    if not any(tier.price.dollars for tier in checked.values()):
        return []
    rows = []
    for name, tier in checked.items():
        matter = {"price"} if tier.price.dollars else set()
        matter |= {"stays", "churn", "churn_late"} if tier.monthly else set()
        matter |= {"conversion", "churn", "churn_late"} if tier.converts_to else set()
        found = provenance_rows(tier, tiers[name], f"tiers.{name}")
        rows += [row for row in found if row[0].rpartition(".")[2] in matter]
    return rows


def mapping(given: Any, path: str) -> dict[str, Any]:
    """A part of the scenario in a manifest; empty where it is not there. Raises BadInput."""
    if not isinstance(given or {}, dict):
        raise BadInput("the scenario in this run's manifest cannot be read", key=path, value=given)
    return given or {}


def demand_parts(demand: Any) -> list[tuple[type[Strict], dict[str, Any], str]]:
    """The parts of demand besides its waves, where the scenario has them."""
    if not isinstance(demand, dict) or "kind" in demand:
        return []
    kinds: dict[str, type[Strict]] = {"season": Season, "word_of_mouth": WordOfMouth}
    openings = mapping(demand.get("openings"), "demand.openings")
    parts = [(kind, demand[name], f"demand.{name}") for name, kind in kinds.items() if demand.get(name)]
    return parts + [(Opening, given, f"demand.openings.{tier}") for tier, given in openings.items()]


def software(run: Run) -> list[str]:
    m = run.manifest
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    attempts = int(outcomes(run, window=(0.0, run.horizon))["attempts"].sum())
    size = "whole service" if run.scale == 1 else f"1/{1 / run.scale:g}"
    wall = words.seconds(float(m["wall_seconds"]))
    return [str(m["playbook"]), str(m["seed"]), str(m["engine"]), size, f"{attempts:,}", wall, versions]


def provenance_rows(model: Strict, given: dict[str, Any], path: str) -> list[list[str]]:
    """One row per figure: set by the scenario, or a default with its source."""
    rows = []
    for name, info in type(model).model_fields.items():
        value, here = getattr(model, name), f"{path}.{name}"
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        if isinstance(value, Noise) and not value.varies_by_cv:
            rows.append([here, value.kind, "assumed", "set in the scenario"])
            continue
        if "source" not in extra:
            if isinstance(value, Strict):
                rows += provenance_rows(value, given.get(name) or {}, here)
            continue
        source = "set in the scenario" if name in given else str(extra["source"])
        kind = "assumed" if name in given else str(extra["provenance"])
        rows.append([here, in_words(value), kind, source])
    return rows


def in_words(value: Any) -> str:
    """A behaviour's value for a table: 'lognormal, median 49, sigma 1.18'."""
    if value == math.inf:
        return "never"
    if not isinstance(value, Strict):
        return plain_value(value)
    fields = value.model_dump()
    kind = fields.pop("kind", "")
    return ", ".join([kind, *[f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in fields.items()]])
