"""What capacity is worth: the same people with the fleet as it is, an unlimited one, and one GPU more and less."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sim.errors import BadInput
from sim.results.intervals import t_interval
from sim.results.money import Money, money_of
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from sim.studies.executors import Executor, Report, asked, working
from sim.studies.fleets import with_gpus
from sim.studies.playbook_names import name_of
from sim.studies.store import Cell

HOUR = 3600.0
AS_IT_IS, UNLIMITED = "as it is", "unlimited"  # where, as in a comparison, no playbook holds anybody back either
HELD_BACK = "unlimited, with the playbook"


@dataclass(frozen=True)
class MoneyStudy:
    """The money of a playbook over some seeds, all runs of a seed with the same people; dollars of the whole service.

    tiers: one row per tier, means over seeds: people, accrued, later (months of new subscribers and of users who start
        to pay, less those cancelled), revenue, lost (against an unlimited fleet without the playbook), starting,
        leaving (people).
    by_playbook: what of that is lost with an unlimited fleet too, because the playbook holds people back.
    marginal: one row per pool and change of its fleet: gpus (of the whole service; the step is one GPU of the slice),
        share of the fleet, and per GPU and hour: revenue with its interval (Student's t, 95 %, paired by seed; nan
        below three seeds), cost, value (revenue less cost) and images in time. Of a smaller fleet: what
        was lost and saved.
    runs: one row per seed and run: revenue, accrued, cost, margin, images (in time).
    run: the first seed's, with the fleet as it is.
    """

    playbook: str
    seeds: list[int]
    money: Money  # of `run`
    tiers: pd.DataFrame
    marginal: pd.DataFrame
    runs: pd.DataFrame
    run: Run
    by_playbook: float = 0.0


def money_study(
    scenario: Scenario,
    playbook: str | None = None,
    *,
    seeds: int | Sequence[int] = 3,
    engine: str = "compiled",
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> MoneyStudy:
    """Run a playbook (the first where None) with each seed and each fleet.

    Raises BadInput where the scenario has no prices. engine, executor, processes: as in compare. An interrupt gives the
    seeds that are done, if there is one.
    """
    name = name_of(scenario, playbook)
    if not scenario.has_prices:
        expected = "a tier that pays, like plus: {price: $20 per month}"
        raise BadInput("the scenario has no prices, so it earns nothing", key="tiers", expected=expected)
    numbers = list(range(1, seeds + 1)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not numbers:
        raise BadInput("this study takes one seed or more", key="seeds", value=seeds, expected="1, 2, ...")
    fleets = changed_fleets(scenario)
    held = [(HELD_BACK, scenario)] if scenario.playbooks.get(name) else []
    cases = [(AS_IT_IS, scenario), (UNLIMITED, scenario), *held]
    cases += [(f"{pool} {gpus:+d}", one) for pool, gpus, one in fleets]
    free = (UNLIMITED, HELD_BACK)
    cells = [
        Cell(one, None if label == UNLIMITED else name, seed, label in free, engine, one.recording)
        for seed in numbers
        for label, one in cases
    ]
    with working(executor, processes) as there:
        kept, rest = asked(there, money_and_run, cells[:1]), asked(there, known_money, cells[1:], progress)
    if not kept or len(rest) < len(cases) - 1:
        raise KeyboardInterrupt
    numbers = numbers[: (1 + len(rest)) // len(cases)]
    labels = [(seed, label) for seed in numbers for label, _ in cases]
    money = dict(zip(labels, [kept[0][0], *rest], strict=False))
    by_case = {label: [money[seed, label] for seed in numbers] for label, _ in cases}
    return MoneyStudy(
        name,
        numbers,
        by_case[AS_IT_IS][0],
        tier_table(by_case[AS_IT_IS], by_case[UNLIMITED]),
        marginal_table(scenario, [(pool, gpus) for pool, gpus, _ in fleets], by_case),
        run_table(labels, money),
        kept[0][1],
        mean_revenue(by_case[UNLIMITED]) - mean_revenue(by_case[HELD_BACK]) if held else 0.0,
    )


def mean_revenue(found: list[Money]) -> float:
    return float(np.mean([one.revenue for one in found]))


def known_money(run: Run) -> Money:
    money = money_of(run)
    assert money is not None
    return money


def money_and_run(run: Run) -> tuple[Money, Run]:
    return known_money(run), run


def changed_fleets(scenario: Scenario) -> list[tuple[str, int, Scenario]]:
    """Each pool with one replica of the slice more, and less where it has another: (pool, change in full, scenario).

    Of several kinds, it is of the one that is taken last.
    """
    step = max(1, round(scenario.played_cells / scenario.scale))  # cells have equally many
    return [
        (name, change, with_gpus(scenario, name, pool.gpus + change))
        for name, pool in scenario.pools.items()
        for change in (step * pool.gpus_per_replica, -step * pool.gpus_per_replica)
        if (pool.gpus + change) / pool.gpus_per_replica * scenario.scale > scenario.played_cells - 0.5
        and (not pool.kinds or pool.kinds[scenario.kinds_taken[name][-1]].gpus + change >= 0)
    ]


def tier_table(kept: list[Money], unlimited: list[Money]) -> pd.DataFrame:
    """One row per tier: means over seeds of what it brings, and of what an unlimited fleet would bring more."""
    rows = {}
    for place, tier in enumerate(kept[0].tiers):
        mine, most = [one.tiers[place] for one in kept], [one.tiers[place] for one in unlimited]
        means = {n: float(np.mean([getattr(one, n) for one in mine])) for n in ("people", "accrued", "revenue")}
        rows[tier.tier] = {
            **means,
            "later": means["revenue"] - means["accrued"],
            "lost": float(np.mean([m.revenue - k.revenue for k, m in zip(mine, most, strict=True)])),
            **{n: float(np.mean([getattr(one, n) for one in mine])) for n in ("starting", "leaving")},
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("tier")


def marginal_table(scenario: Scenario, changes: list[tuple[str, int]], by_case: dict[str, list[Money]]) -> pd.DataFrame:
    """One row per changed fleet: what a GPU more brings an hour, or what a GPU less costs, paired by seed."""
    rows = []
    for pool, gpus in changes:
        pairs = list(zip(by_case[f"{pool} {gpus:+d}"], by_case[AS_IT_IS], strict=True))
        gpu_hours = gpus * pairs[0][0].seconds / HOUR  # below 0 for a smaller fleet
        revenue = np.array([(one.revenue - base.revenue) / gpu_hours for one, base in pairs])
        cost = float(np.mean([(one.cost - base.cost) / gpu_hours for one, base in pairs]))
        mean = float(revenue.mean())
        images = float(np.mean([(one.images - base.images) / gpu_hours for one, base in pairs]))
        share = abs(gpus) / scenario.pools[pool].gpus
        kinds = scenario.kinds_taken[pool]
        label = f"{pool}, {kinds[-1]}" if kinds else pool
        rows.append((label, gpus, share, mean, *t_interval(revenue), cost, mean - cost, images))
    columns = ["pool", "gpus", "share", "revenue", "low", "high", "cost", "value", "images"]
    return pd.DataFrame(rows, columns=columns)


def run_table(labels: list[tuple[int, str]], money: dict[tuple[int, str], Money]) -> pd.DataFrame:
    """One row per seed and run."""
    names = ("revenue", "accrued", "cost", "margin", "images")
    return pd.DataFrame([{"seed": s, "fleet": f, **{n: getattr(money[s, f], n) for n in names}} for s, f in labels])
