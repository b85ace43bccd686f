"""One page over a saved sweep: sliders that move between the runs that were made, without a server or a network."""

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sim.errors import BadInput
from sim.explorer.shown import FIGURES, text_of
from sim.report.origins import sources
from sim.report.page import template
from sim.studies.differences import interval_of, mean_of, unit_of
from sim.studies.sweep_file import load_sweep, numbers_in
from sim.wording import amount, in_gpus, plain_value

LARGEST = 8_000_000  # bytes of a page that can be mailed
MOST_KEYS = 8


class Grid(NamedTuple):
    """The values of each key, and the playbooks, of which every combination can be set."""

    keys: dict[str, list[Any]]
    playbooks: list[str]


def offline_page(path: Path) -> str:
    """The page of a saved sweep. Raises BadInput for a file that is none, or that has no grid."""
    table = load_sweep(path)
    facts = table.attrs["made_from"]
    grid = grid_of(table, facts, path)
    shown = shown_figures(table, facts["promise"])
    data = {
        "keys": [{"name": key, "values": list(map(plain_value, values))} for key, values in grid.keys.items()],
        "numbers": [numbers_in(values) for values in grid.keys.values()],
        "playbooks": grid.playbooks,
        "figures": [{"column": name, "title": title, "unit": unit_of(name)} for name, title in shown.items()],
        "cells": cells(table, grid, shown),
    }
    script = Path(__file__).with_name("offline.js").read_text(encoding="utf-8")
    page = template("offline.html.j2", "sim.explorer").render(
        facts=facts,
        data=for_script(data),
        script=script,
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made_from=made_from(table, facts, path),
        tables=sources([(facts["profiles"], facts["scenario"])]),
        seeds=table["seed"].nunique(),
    )
    if len(page.encode("utf-8", errors="replace")) > LARGEST:
        expected, size = (
            f"fewer points or playbooks: a page of {LARGEST / 1e6:.0f} MB or less",
            f"{len(page) / 1e6:.3g} MB",
        )
        raise BadInput("this page would be too large to mail", file=path, value=size, expected=expected)
    return page


def grid_of(table: pd.DataFrame, facts: dict[str, Any], path: Path) -> Grid:
    """The grid of a sweep. Raises BadInput where its points fill the space instead."""
    design = facts.get("design")
    if design != "grid" or len(facts["keys"]) > MOST_KEYS:
        expected = f"a sweep with --design grid, over at most {MOST_KEYS} keys"
        raise BadInput("sliders need every combination of values", file=path, value=design, expected=expected)
    keys = {str(key): ordered(list(dict.fromkeys(table[key].tolist()))) for key in facts["keys"]}
    return Grid(keys, [str(name) for name in dict.fromkeys(table["playbook"])])


def ordered(values: list[Any]) -> list[Any]:
    """Numbers, and quantities of one unit, from small to large; other values in the order of the file."""
    found = numbers_in(values)
    return [value for _, value in sorted(zip(found, values, strict=True))] if found else values


def shown_figures(table: pd.DataFrame, promise: str) -> dict[str, str]:
    """The figures that the sweep has, and that are not 0 or unknown at every point, with their titles."""
    of_promise = {"promise_kept": f"keeps '{promise}'", "promise_margin": "margin of that promise"}
    return {
        name: title
        for name, title in {**FIGURES, **of_promise}.items()
        if name in table and (table[name].astype(float).fillna(0) != 0).any()
    }


def cells(table: pd.DataFrame, grid: Grid, shown: Iterable[str]) -> dict[str, list[Any]]:
    """For each combination, by its places: of each figure the mean over seeds (None: none) and how it is written."""
    places = {key: {value: n for n, value in enumerate(values)} for key, values in grid.keys.items()}
    found = {}
    for (*values, playbook), rows in table.groupby([*grid.keys, "playbook"], sort=False):
        at = [places[key][value] for key, value in zip(grid.keys, values, strict=True)]
        name = ",".join(map(str, [*at, grid.playbooks.index(str(playbook))]))
        alive = f"{int(rows['alive'].sum())} of {len(rows)}"
        found[name] = [alive, *(written(rows.astype({one: float}), one) for one in shown)]
    return found


def written(rows: pd.DataFrame, figure: str) -> list[Any]:
    """The mean as a number, in words, and its 95 % interval in words where there is one."""
    mean, (low, high) = mean_of(rows, figure), interval_of(rows, figure)
    least, most = text_of(figure, low), text_of(figure, high)
    bounds = f"{least} to {most}" if math.isfinite(low) and least != most else ""
    return [float(f"{mean:.6g}") if math.isfinite(mean) else None, text_of(figure, mean), bounds]


def for_script(data: dict[str, Any]) -> str:
    """JSON that can stand inside a script element: no character of it can end that element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def made_from(table: pd.DataFrame, facts: dict[str, Any], path: Path) -> list[tuple[str, str]]:
    """The hashes and versions behind the page, by name."""
    pools = facts["scenario"].get("pools") or {}
    scale = float(facts["scale"])
    sliced = "; ".join(
        f"{amount(pool['gpus'] * scale)} of {in_gpus(amount(pool['gpus']))} of {name}"
        for name, pool in pools.items()
        if isinstance(pool, dict) and isinstance(pool.get("gpus"), int)
    )
    return [
        ("sweep", f"{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"),
        ("scenario", f"SHA-256 {facts['digest']}"),
        ("runs", f"{len(table):,}, seeds {table['seed'].min()} to {table['seed'].max()}"),
        (
            "slice",
            "the whole service" if scale == 1 else f"1/{1 / scale:g}: {sliced}. In a small slice requests wait longer",
        ),
        ("code", f"SHA-256 {facts['code']}"),
        ("software", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
    ]
