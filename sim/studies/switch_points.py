"""What would change a decision: for each input, the value at which another option of the menu becomes the best."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.studies.assumed import with_assumed
from sim.studies.decide import SAME, cells_of, labels_of, loss, losses_by, menu_of
from sim.studies.executors import Executor, Report
from sim.studies.fleets import with_gpus
from sim.studies.runs import Runs, running
from sim.studies.sensitivity import ENDS
from sim.studies.store import Store
from sim.studies.uncertain import Law, Uncertain
from sim.wording import names_in_words, percent, setting

Losses = Callable[[list[dict[str, Any]]], NDArray[np.float64]]  # of settings, by setting and option
ROUNDS = 8  # of bisection: to a 1/640 of the probability


@dataclass(frozen=True)
class Switches:
    """best: the option at the medians. table: one row per input and side at whose end another option is the best.

    Its columns: key, side ('below' or 'above'), base, at (the value from which on it is, as a scenario has them),
    winner, beyond (the chance that the input lies there, by its law). stable: the inputs that change nothing between
    their ENDS.
    """

    best: str
    table: pd.DataFrame
    stable: list[str]
    assumed: list[str]  # the inputs that had no law of their own, but are marked assumed
    options: int = 2  # how many there are to choose from


def switch_points(losses: Losses, laws: Mapping[str, Law]) -> tuple[int, pd.DataFrame]:
    """The best option with every input at its median, and where single inputs make another one the best.

    Looks at both ends of each input, the others at their medians, and bisects where the best option differs. Columns:
    key, side, base, at, winner (its place), beyond.
    """
    median = {key: law.at(0.5) for key, law in laws.items()}
    places = [(key, end) for key in laws for end in ENDS]
    first, *at_ends = losses([median, *[{**median, key: laws[key].at(end)} for key, end in places]])
    base = int(first.argmin())
    found = [winner_of(lost, base) for lost in at_ends]
    open_ = {place: (0.5, place[1], winner) for place, winner in zip(places, found, strict=True) if winner != base}
    for _ in range(ROUNDS if open_ else 0):
        middles = {place: (near + far) / 2 for place, (near, far, _) in open_.items()}
        looked = losses([{**median, place[0]: laws[place[0]].at(at)} for place, at in middles.items()])
        for (place, at), lost in zip(middles.items(), looked, strict=True):
            winner = winner_of(lost, base)
            near, far, _ = open_[place]
            open_[place] = (at, far, open_[place][2]) if winner == base else (near, at, winner)
    rows = [
        {
            "key": key,
            "side": "below" if end < 0.5 else "above",
            "base": laws[key].at(0.5),
            "at": laws[key].at(far),
            "winner": winner,
            "beyond": far if end < 0.5 else 1 - far,
        }
        for (key, end), (_, far, winner) in open_.items()
    ]
    table = pd.DataFrame(rows, columns=["key", "side", "base", "at", "winner", "beyond"])
    return base, table.sort_values("beyond", ascending=False, kind="stable", ignore_index=True)


def winner_of(lost: NDArray[np.float64], base: int) -> int:
    """The option that loses least; the one that is the best at the medians where it loses as little."""
    return base if lost[base] <= lost.min() + SAME * np.abs(lost).max() else int(lost.argmin())


def what_would_change(
    inputs: Uncertain,
    fleets: Sequence[int] | None = None,
    playbooks: Sequence[str] | None = None,
    *,
    pool: str | None = None,
    kind: str | None = None,
    among: Collection[tuple[int, str]] | None = None,
    image_worth: float | None = None,
    seeds: int = 3,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Switches:
    """What would change the choice among the options of `decide`: its uncertain inputs, and all numbers marked assumed.

    Losses are means over the seeds, the same ones everywhere. among: the options (GPUs and playbook) that may be
    chosen, all where None, as where others do not stay alive often enough. Raises BadInput.
    """
    where, full = menu_of(inputs, fleets, playbooks, pool)
    menu = [option for option in full if among is None or option in among]
    labels = [label for option, label in zip(full, labels_of(full), strict=True) if option in menu]
    every = with_assumed(inputs)
    laws = {key: law for key, law in every.laws.items() if not fleets or key != f"pools.{where}.gpus"}
    every, by = Uncertain(every.scenario, laws), losses_by(inputs.scenario, image_worth)

    def losses(study: Runs, settings: list[dict[str, Any]]) -> NDArray[np.float64]:
        cells = []
        for values in settings:
            worlds = {gpus: every.with_values(values, sized(every, where, gpus, kind)) for gpus, _ in menu}
            for seed in range(1, seeds + 1):
                cells += cells_of(menu, worlds, seed, by)
        found = study.ask(cells, lambda record: record.figures)
        each = len(menu) + (by == "images")
        runs = [found[at : at + each] for at in range(0, len(found), each)]
        lost = [
            [loss(by, one, run[0] if by == "images" else None, image_worth or 0.0) for one in run[-len(menu) :]]
            for run in runs
        ]
        return np.array(lost).reshape(len(settings), seeds, len(menu)).mean(axis=1)

    assumed = [key for key in laws if key not in inputs.laws]
    if len(menu) == 1:
        return Switches(labels[0], pd.DataFrame(), list(laws), assumed, options=1)
    with running(executor, processes, store, progress) as study:
        best, table = switch_points(partial(losses, study), laws)
    table["winner"] = [labels[place] for place in table["winner"]]
    stable = [key for key in laws if key not in set(table["key"])]
    return Switches(labels[best], table, stable, assumed, options=len(menu))


def sized(inputs: Uncertain, pool: str, gpus: int, kind: str | None = None) -> Any:
    """The scenario with a fleet; kind: of GPU, in a pool of several, that makes the difference."""
    same = inputs.scenario.pools[pool].gpus == gpus or f"pools.{pool}.gpus" in inputs.laws
    return inputs.scenario if same else with_gpus(inputs.scenario, pool, gpus, kind)


def switch_sentences(found: Switches, chosen: str = "") -> list[str]:
    """What to measure first, in words; chosen: the option that is chosen over all futures."""
    if found.options == 1:
        return [f"NO OTHER CHOICE: only {found.best} stays alive often enough, so no loss changes it."]
    lines = [f"With every input at its median, the best option is {found.best}."]
    if chosen not in ("", found.best):
        lines[0] += (
            f" Over all futures {chosen} is chosen, since losses are averaged over them; the values below change what "
            "is best at the medians."
        )
    if found.table.empty:
        return [
            *lines,
            f"INSENSITIVE: no input changes that between its 10 % and 90 % points, one at a time ({listed(found)}).",
        ]
    first = found.table["key"][0]
    lines.append(f"MEASURE {first} FIRST: it is the likeliest to change the choice.")
    for row in found.table.to_dict("records"):
        origin = "assumed" if row["key"] in found.assumed else "its law"
        lines.append(
            f"{row['side'].capitalize()} {row['key']} = {setting(row['at'])} (now {setting(row['base'])}; {origin}), "
            f"{row['winner']} is the best; the chance of that is {percent(row['beyond'])}."
        )
    if found.stable:
        lines.append(f"No change between the 10 % and 90 % points of the others, one at a time: {listed(found)}.")
    return lines


def listed(found: Switches) -> str:
    return names_in_words(found.stable)
