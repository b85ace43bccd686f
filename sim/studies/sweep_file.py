"""A sweep as a file: its table and, in Parquet, what it was made from, so that a page can name its sources."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sim.errors import BadInput
from sim.results.manifest import profile_entry, versions
from sim.scenario.scenario import Scenario
from sim.studies.store import code

FORMAT = "meltpoint-sweep/1"
AGAIN = "a table that 'meltpoint sweep ... --out FILE.parquet' wrote; CSV does not hold what it was made from"
NEEDED = ("point", "playbook", "seed", "alive", "attainment")


def facts_of(scenario: Scenario, keys: list[str], design: str, promise: str | None) -> dict[str, Any]:
    """What a sweep is of, as plain values: the scenario, its profiles, the versions and the code that made it."""
    return {
        "format": FORMAT,
        "title": scenario.title,
        "question": scenario.question,
        "scenario": scenario.document,
        "digest": scenario.digest,
        "scale": scenario.scale,
        "profiles": {model: profile_entry(profile) for model, profile in scenario.used_profiles.items()},
        "keys": keys,
        "design": design,
        "promise": promise or "",
        "versions": versions(),
        "code": code(),
    }


def load_sweep(path: Path) -> pd.DataFrame:
    """The table of a saved sweep; its attrs have `facts_of`. Raises BadInput for any other file."""
    if not path.is_file():
        raise BadInput("there is no such file", file=path, expected=AGAIN)
    try:
        table = pd.read_parquet(path)
    except OSError as wrong:
        raise BadInput(f"this file cannot be read ({wrong.strerror or wrong})", file=path, expected=AGAIN) from None
    except (pa.ArrowException, ValueError):
        raise BadInput("this is not a saved sweep", file=path, expected=AGAIN) from None
    facts = table.attrs.get("made_from")
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or table.empty:
        raise BadInput("this table does not say what it was made from", file=path, expected=AGAIN)
    keys = facts.get("keys")
    if not isinstance(keys, list) or not keys or not {*NEEDED, *map(str, keys)} <= set(table.columns):
        raise BadInput("a sweep's columns are missing here", file=path, expected=", ".join(NEEDED))
    return table


def numbers_in(values: Iterable[Any]) -> list[float]:
    """The values as numbers, those with a unit by what stands before it; empty where they are not of one unit."""
    parts = [str(value).partition(" ") for value in values]
    try:
        found = [float(number) for number, _, _ in parts]
    except ValueError:
        return []
    return found if len({unit for _, _, unit in parts}) == 1 and all(map(math.isfinite, found)) else []
