"""The pools of a scenario as the compiled engine takes them: how each serves, and tables of what its GPUs take."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.demand.laws import Law
from sim.model.balancing import CENTRAL, DISPATCHES
from sim.model.chance import CONSTANT, NOISES
from sim.model.dispatch import TIMERS, work_of_request
from sim.model.passes import LENGTHS
from sim.scenario.scenario import Scenario
from sim.scenario.serving_options import BATCHES, SLOT_FREE, STEPS, WHEN_FREE

Ints = NDArray[np.int64]

NO_TIME = (CONSTANT, 0.0, 0.0)


def plain(law: Law) -> tuple[int, float, float]:
    return int(law.kind), float(law.a), float(law.b)


def padded(rows: list[list[float]], fill: float, dtype: type) -> NDArray:
    """Rows of different lengths as one array."""
    width = max(1, *(len(row) for row in rows)) if rows else 1
    table: NDArray[Any] = np.full((len(rows), width), fill, dtype=dtype)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


def of_pools(scenario: Scenario, *, unlimited: bool) -> dict[str, Any]:
    """Specs and pools as arrays."""
    specs, pools, of = scenario.specs(), list(scenario.pools), scenario.pools.values()
    models = list(dict.fromkeys(spec.model for spec in specs))
    most = max(largest_size(scenario), max(pool.max_batch for pool in scenario.pools.values()))
    kinds = [scenario.tables_by_kind(name) for name in pools]
    rows = [table for tables in kinds if len(tables) > 1 for table in tables]
    rows = [*(scenario.batch_tables(name) for name in pools), *rows]
    seconds, work = np.zeros((len(rows), len(specs), most + 1)), np.zeros((len(rows), len(specs)))
    full = np.zeros((len(rows), len(specs)), dtype=np.int64)
    for row, tables in enumerate(rows):
        for spec, table in tables.items():
            s, largest = specs.index(spec), max(table)
            seconds[row, s, list(table)] = list(table.values())
            full[row, s], work[row, s] = largest, work_of_request.direct(table[largest], spec.images, largest)
    of_kinds = rows_of_kinds([len(tables) for tables in kinds])
    return {
        "spec_images": np.array([spec.images for spec in specs]),
        "spec_model": np.array([models.index(spec.model) for spec in specs]),
        "noise_kind": np.array([NOISES[scenario.serving.noise.kind] for _ in specs]),
        "noise_shape": np.array([scenario.noise_shape(spec.model) for spec in specs]),
        "noise_factors": padded([scenario.noise_factors(spec.model) for spec in specs], 1.0, np.float64),
        "seconds": seconds,
        "tables": of_kinds,
        **of_many(scenario, of_kinds),
        "full": full,
        "work": work,
        "quantum": work.max(axis=1, initial=0.0),
        # With a GPU for everybody nobody waits: not for others to fill a batch, nor for a model.
        "linger": np.array([0.0 if unlimited else scenario.pools[name].linger for name in pools]),
        "ahead": np.array([scenario.pools[name].closes != WHEN_FREE and not unlimited for name in pools]),
        "slots": np.array([pool.slots if pool.closes == SLOT_FREE and not unlimited else 0 for pool in of]),
        "timer": np.array([TIMERS[scenario.pools[name].timer] for name in pools]),
        "takes_late": np.array([scenario.pools[name].late_joiners for name in pools]),
        **of_queues(scenario, unlimited=unlimited),
        "load": np.array([NO_TIME if unlimited else plain(scenario.pools[name].model_load.law) for name in pools]),
    }


def of_many(scenario: Scenario, tables: Ints) -> dict[str, Any]:
    """Pools whose GPUs run many requests at once. tables: the rows of the kinds of GPU in each pool."""
    specs, pools = scenario.specs(), list(scenario.pools.values())
    many = np.array([pool.runs != BATCHES for pool in pools])
    room, rows = max((pool.max_batch for pool in pools if pool.runs != BATCHES), default=0), int(tables.max()) + 1
    opening, each = np.zeros((2, rows, len(specs), room + 1))
    passes, first = np.zeros((rows, len(specs))), np.zeros((rows, len(specs)), dtype=np.int64)
    size = np.zeros((len(pools), len(specs)), dtype=np.int64)
    for p, (name, pool) in enumerate(scenario.pools.items()):
        for spec in scenario.specs_of(name) if many[p] else []:
            s = specs.index(spec)
            size[p, s] = spec.images if pool.runs == STEPS else 1
            for row, steps in zip([p, *tables[p]], scenario.steps_of(spec, name), strict=False):
                passes[row, s], first[row, s] = steps.passes, steps.first
                places = [n // (spec.images // size[p, s]) for n in steps.each]
                opening[row, s, places], each[row, s, places] = list(steps.opening.values()), list(steps.each.values())
    features = scenario.features.values()
    return {
        "many": many,
        "whole": np.array([pool.runs == STEPS for pool in pools]),
        "most": np.array([pool.max_batch for pool in pools]),
        "together_size": size,
        "opening": opening,
        "each": each,
        "passes": passes,
        "first": first,
        "lengths": np.array([LENGTHS[feature.length.kind] for feature in features]),
        "length_sigma": np.array([feature.length.sigma for feature in features]),
    }


def of_queues(scenario: Scenario, *, unlimited: bool) -> dict[str, Any]:
    """How requests are sent to GPUs in each pool, and the numbers of the queues."""
    pools = scenario.pools.values()
    dispatch = [CENTRAL if unlimited else DISPATCHES[pool.dispatch] for pool in pools]
    apart = np.array(dispatch) != CENTRAL
    behind = len(dispatch) + np.cumsum(apart) - 1
    return {
        "dispatch": np.array(dispatch),
        "apart": apart,
        "keeps": apart & np.array([pool.affinity is not None for pool in pools]),
        "affinity": np.array([pool.affinity or 0.0 for pool in pools]),
        "first_queue": np.where(apart, behind, np.arange(len(dispatch))),
        "queue_step": np.where(apart, apart.sum(), 0),
    }


def rows_of_kinds(kinds: list[int]) -> Ints:
    """The rows of the kinds in each pool: its own where there is one kind, else one for each, behind those of pools."""
    table = np.repeat(np.arange(len(kinds))[:, None], max(kinds), axis=1)
    row = len(kinds)
    for pool, count in enumerate(kinds):
        if count > 1:
            table[pool, :count] = np.arange(row, row + count)
            row += count
    return table


def largest_size(scenario: Scenario) -> int:
    """The most images that one GPU may have at once."""
    sizes = [pool.sizes(spec.images) for pool in scenario.pools.values() for spec in scenario.specs()]
    return max((size[-1] for size in sizes if size), default=1)
