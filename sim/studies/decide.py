"""A decision under uncertainty: what each fleet and playbook loses in each of many futures, and which to choose.

The regret of an option in a future is what it loses more than the best option of the menu there. The option of least
expected regret is the one of least expected loss; its expected regret is the expected value of perfect information, the
most that knowing the future beforehand could be worth (Raiffa and Schlaifer 1961). Regret depends on the menu.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import ConfigDict

from sim.errors import BadInput
from sim.results.intervals import Interval, holm, mean_interval, paired_difference, proportion, t_interval
from sim.scenario.scenario import Scenario
from sim.studies.executors import Executor, Report
from sim.studies.fleets import refuse_unknown_kind, served_pools, with_gpus
from sim.studies.looks import WITH_TABLES
from sim.studies.playbook_names import name_of, names_of
from sim.studies.promise_findings import own_promises
from sim.studies.run_record import Record
from sim.studies.runs import running
from sim.studies.store import Cell, Store
from sim.studies.uncertain import Uncertain, as_uncertain
from sim.wording import in_gpus

APART = 1_000_000  # between the seeds of one future; also the most futures
FATES = ("alive", "promised")
SAME = 1e-9  # relative: losses as close as this are equal, and the cheaper option is chosen
LOSSES = {
    "money": "GPU cost less revenue",
    "worth": "GPU cost less the worth of images in time",
    "images": "images in time fewer than with an unlimited fleet",
}


def regrets(losses: ArrayLike) -> pd.DataFrame:
    """One row per option: expected loss, expected regret, worst loss, worst regret, and how often it is the best.

    losses: by option and future, each future as likely.
    """
    lost = np.asarray(losses, dtype=float)
    weights = np.full(lost.shape[1], 1 / lost.shape[1])
    regret = lost - lost.min(axis=0)
    return pd.DataFrame(
        {
            "loss": lost @ weights,
            "regret": regret @ weights,
            "worst_loss": lost.max(axis=1),
            "worst_regret": regret.max(axis=1),
            "best": (regret == 0) @ weights,
        }
    )


@dataclass(frozen=True, repr=False)
class Decision:
    """What is to be chosen, and why.

    by: what a loss is, a key of LOSSES; dollars of the whole service, or images. options: one row per option of the
    menu, in its order: gpus, playbook, label, the columns of `regrets` and of regret its interval (regret_low,
    regret_high: Student's t over futures, 95 %), alive (share of the runs, with its interval alive_low and alive_high),
    promised (of a scenario with promises: the share of the runs that keep all but those against a baseline), dollars
    (GPU cost), and against the option chosen more_lost with its interval (more_low, more_high) and p by Holm.
    runs: one row per future and option: future, the inputs, gpus, playbook, loss, regret, alive, dollars, images.
    best: the row of the option chosen, None where none is alive often enough; minimax: of the least worst regret.
    planned: futures; fewer are done after an interrupt. seed_sd, future_sd: standard deviations of the chosen option's
    loss between seeds of one future (nan for one seed), and between futures. changes: what would change the choice, in
    sentences (sim.studies.switch_points), where it was looked for. kind: of GPU, in a pool of several, that the fleets
    of the menu have more or fewer of; the other kinds stay. stay: the GPUs of the other pools that serve a feature.
    """

    by: str
    pool: str
    options: pd.DataFrame
    runs: pd.DataFrame
    best: int | None
    minimax: int | None
    alive: float
    futures: int
    seeds: int
    planned: int
    inputs: dict[str, str]
    seed_sd: float = math.nan
    future_sd: float = math.nan
    changes: list[str] = field(default_factory=list)
    kind: str = ""
    stay: dict[str, int] = field(default_factory=dict)
    __pydantic_config__: ClassVar[ConfigDict] = WITH_TABLES

    @property
    def evpi(self) -> float:
        """The expected value of perfect information, in the unit of the losses: the regret of the option chosen.

        Where no option may be chosen, the least of all. An option that is not alive often enough to be chosen may have
        less regret than the one that is; who knows the future saves what the latter loses.
        """
        return float(self.options["regret"].min() if self.best is None else self.options["regret"][self.best])

    @property
    def runner_up(self) -> int | None:
        """The row of the second least expected regret among the options that stay alive often enough."""
        if self.best is None:
            return None
        others = self.options[(self.options["alive"] >= self.alive - SAME) & (self.options.index != self.best)]
        return None if others.empty else least(others, "regret")

    @property
    def eligible(self) -> list[tuple[int, str]]:
        """The options (GPUs and playbook) that stay alive often enough to be chosen."""
        some = self.options[self.options["alive"] >= self.alive - SAME]
        return list(zip(some["gpus"].tolist(), some["playbook"].tolist(), strict=True))

    @property
    def cheaper(self) -> pd.DataFrame:
        """The options whose GPUs cost less than those of the option chosen."""
        if self.best is None:
            return self.options.iloc[:0]
        return self.options[self.options["dollars"] < self.options["dollars"][self.best] * (1 - SAME)]

    def __repr__(self) -> str:
        choice = "none" if self.best is None else self.options["label"][self.best]
        return f"<Decision by {self.by}: {choice}, of {len(self.options)} options over {self.futures} futures>"


def decide(
    scenario: Scenario | Uncertain,
    fleets: Sequence[int] | None = None,
    playbooks: str | Sequence[str] | None = None,
    *,
    futures: int = 50,
    seeds: int = 1,
    pool: str | None = None,
    kind: str | None = None,
    alive: float = 0.0,
    image_worth: float | None = None,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Decision:
    """Play every fleet (GPUs of one pool) with every playbook in the same futures, and choose.

    Where the pool has several kinds of GPU, fleets differ in this `kind`; in the one that is taken last where None.

    fleets: the scenario's own where None; playbooks: all where None. seeds: runs of each option in each future. alive:
    the share of runs in which an option must stay alive to be chosen. image_worth: dollars that an image in time is
    worth, where the scenario has no prices; without either, losses are images and GPUs count nothing. An interrupt
    gives the futures that are done. Raises BadInput.
    """
    inputs = as_uncertain(scenario)
    where, menu = menu_of(inputs, fleets, playbooks, pool)
    refuse_unknown_kind(inputs.scenario, where, kind)
    refuse_numbers(futures, seeds, alive)
    by = losses_by(inputs.scenario, image_worth)
    bases = {gpus: with_gpus(inputs.scenario, where, gpus, kind) for gpus in dict.fromkeys(g for g, _ in menu)}
    cells, labels = [], []
    for future in range(1, futures + 1):
        worlds = {gpus: inputs.future(future, base) for gpus, base in bases.items()}
        for seed in range(future, future + seeds * APART, APART):
            some = cells_of(menu, worlds, seed, by)
            cells += some
            labels += [(future, seed, place) for place in range(len(menu) - len(some), len(menu))]
    found: dict[tuple[int, int, int], dict[str, Any]] = {}
    try:
        with running(executor, processes, store, progress) as study:
            for place, figures in study.each(cells, with_promises(inputs.scenario)):
                found[labels[place]] = figures
    except KeyboardInterrupt:
        pass
    done = [n for n in range(1, futures + 1) if all(label in found for label in labels if label[0] == n)]
    rows = [
        {
            "future": future,
            **inputs.values(future),
            "seed": seed,
            "gpus": int(inputs.values(future).get(f"pools.{where}.gpus", menu[place][0])),
            "playbook": menu[place][1],
            "option": place,
            "loss": loss(by, figures, found.get((future, seed, -1)), image_worth or 0.0),
            **{name: bool(figures[name]) for name in FATES if name in figures},
            "dollars": float(figures["dollars"]),
            "images": float(figures["images_worth"]),
        }
        for (future, seed, place), figures in sorted(found.items())
        if future in done and place >= 0
    ]
    of_kind = kind or next(reversed(inputs.scenario.kinds_taken[where]), "")
    stay = {pool: inputs.scenario.pools[pool].gpus for pool in served_pools(inputs.scenario) if pool != where}
    found_by = judged(pd.DataFrame(rows), menu, by, where, alive, len(done), seeds, futures, inputs)
    return replace(found_by, kind=of_kind, stay=stay)


def with_promises(scenario: Scenario) -> Callable[[Record], dict[str, Any]]:
    """The figures of a run, and whether it keeps all that its scenario promises, where it does. Raises BadInput."""
    rules = [rule for rule in own_promises(scenario).values() if rule is not None]
    if not rules:
        return lambda record: record.figures
    return lambda record: {**record.figures, "promised": all(rule.margin(record) >= 0 for rule in rules)}


def cells_of(menu: Sequence[tuple[int, str]], worlds: Mapping[int, Scenario], seed: int, by: str) -> list[Cell]:
    """The runs of all options with the same people; worlds: by GPUs.

    Where losses are images, the run with an unlimited fleet and without policies comes first.
    """
    some = [Cell(worlds[gpus], playbook, seed) for gpus, playbook in menu]
    if by != "images":
        return some
    first = worlds[menu[0][0]]
    name = next(iter(first.playbooks))
    return [Cell(first.with_(playbooks={name: []}), name, seed, unlimited=True), *some]


def menu_of(
    inputs: Uncertain, fleets: Sequence[int] | None, playbooks: str | Sequence[str] | None, pool: str | None
) -> tuple[str, list[tuple[int, str]]]:
    """The pool that is decided about, and the options: GPUs and playbook. Raises BadInput."""
    scenario, pools = inputs.scenario, served_pools(inputs.scenario)
    where = pool or pools[0]
    if where not in scenario.pools or (pool is None and len(pools) > 1 and fleets):
        expected = f"one of {', '.join(scenario.pools)}"
        raise BadInput("the fleets of which pool are on the menu?", key="pool", value=pool, expected=expected)
    if fleets and f"pools.{where}.gpus" in inputs.laws:
        message = "a fleet that is on the menu cannot be uncertain"
        raise BadInput(message, key=f"pools.{where}.gpus", expected="a number, or no --fleets")
    sizes = list(dict.fromkeys(fleets)) if fleets else [scenario.pools[where].gpus]
    names = [name_of(scenario, name) for name in names_of(playbooks) or scenario.playbooks]
    if len(sizes) * len(names) < 2:
        raise BadInput("a decision needs two options", key="fleets", value=sizes, expected="more fleets or playbooks")
    return where, [(gpus, name) for gpus in sizes for name in names]


def refuse_numbers(futures: int, seeds: int, alive: float) -> None:
    """Raise BadInput for what no decision can be made with."""
    for key, number, least, most in (("futures", futures, 2, APART), ("seeds", seeds, 1, 1000)):
        if type(number) is not int or not least <= number <= most:
            raise BadInput("this number cannot be used", key=key, value=number, expected=f"{least} to {most:,}")
    if not 0 <= alive <= 1:
        raise BadInput("this share cannot be used", key="alive", value=alive, expected="from 0 to 100 %")


def losses_by(scenario: Scenario, image_worth: float | None) -> str:
    """What a loss is. Raises BadInput."""
    priced = scenario.has_prices
    if image_worth is None:
        return "money" if priced else "images"
    if priced:
        expected = "the scenario's prices, or this, not both"
        raise BadInput("the scenario has prices already", key="image_worth", value=image_worth, expected=expected)
    if not 0 < image_worth < math.inf:
        raise BadInput("this is no worth", key="image_worth", value=image_worth, expected="dollars above 0")
    return "worth"


def loss(by: str, figures: Mapping[str, Any], free: Mapping[str, Any] | None, image_worth: float) -> float:
    """What one run loses, in dollars or images."""
    if by == "money":
        return -float(figures["margin"])
    if by == "worth":
        return float(figures["dollars"] - image_worth * figures["images_worth"])
    assert free is not None
    return float(free["images_worth"] - figures["images_worth"])


def judged(
    runs: pd.DataFrame,
    menu: list[tuple[int, str]],
    by: str,
    pool: str,
    alive: float,
    done: int,
    seeds: int,
    planned: int,
    inputs: Uncertain,
) -> Decision:
    """The decision from the runs that are done."""
    texts = {key: law.text.strip() for key, law in inputs.laws.items()}
    if runs.empty:
        return Decision(by, pool, pd.DataFrame(), runs, None, None, alive, 0, seeds, planned, texts)
    by_future = runs.pivot_table(index="option", columns="future", values="loss").to_numpy(float)
    regret = by_future - by_future.min(axis=0)
    runs["regret"] = runs["loss"] - runs.groupby(["future", "seed"])["loss"].transform("min")
    options = regrets(by_future)
    options.insert(0, "gpus", [gpus for gpus, _ in menu])
    options.insert(1, "playbook", [name for _, name in menu])
    options.insert(2, "label", labels_of(menu))
    options[["regret_low", "regret_high"]] = [t_interval(row) for row in regret]
    options["regret_low"] = options["regret_low"].clip(lower=0)
    shown = [name for name in (*FATES, "dollars", "images") if name in runs]
    options[shown] = runs.groupby("option")[shown].mean()
    options[["alive_low", "alive_high"]] = alive_intervals(runs, seeds)
    eligible = options[options["alive"] >= alive - SAME]
    best = None if eligible.empty else least(eligible, "regret")
    sds = (math.nan, math.nan)
    if best is not None:
        against = [paired_difference(row, by_future[best]) for row in by_future]
        options[["more_lost", "more_low", "more_high", "p"]] = against
        others = options.index != best
        options.loc[others, "p"] = holm(options.loc[others, "p"])
        options.loc[best, "p"] = math.nan
        sds = spreads(runs[runs["option"] == best], seeds)
    minimax = None if eligible.empty else least(eligible, "worst_regret")
    return Decision(
        by, pool, options, runs.drop(columns="option"), best, minimax, alive, done, seeds, planned, texts, *sds
    )


def alive_intervals(runs: pd.DataFrame, seeds: int) -> list[Interval]:
    """Of the share of runs in which each option stays alive: Wilson's, of as many futures.

    With several seeds the runs of a future have its fate in common, so the unit is the future: Student's t on the
    shares of the futures; where all are 0 or all 1, Wilson's again.
    """
    found = []
    for _, shares in runs.groupby(["option", "future"])["alive"].mean().groupby("option"):
        spread = seeds > 1 and shares.nunique() > 1
        found.append(mean_interval(shares, "share") if spread else proportion(round(shares.sum()), len(shares)))
    return found


def labels_of(menu: Sequence[tuple[int, str]]) -> list[str]:
    """The options in words."""
    several = len({name for _, name in menu}) > 1
    fleets = len({gpus for gpus, _ in menu}) > 1
    return [
        in_gpus(gpus) + (f" with '{name}'" if several else "") if fleets or not several else f"'{name}'"
        for gpus, name in menu
    ]


def least(options: pd.DataFrame, column: str) -> int:
    """The row with the least of a column; of equal ones that with the cheapest GPUs."""
    near = options[column].min() + SAME * options["loss"].abs().max()
    return int(options[options[column] <= near]["dollars"].idxmin())


def spreads(runs: pd.DataFrame, seeds: int) -> tuple[float, float]:
    """Standard deviations of one option's loss: between the seeds of a future, and between the means of futures."""
    groups = runs.groupby("future")["loss"]
    within = np.asarray(groups.var(ddof=1), dtype=float)
    return (math.sqrt(within.mean()) if seeds > 1 else math.nan), float(groups.mean().std(ddof=1))
