"""The cheapest mix of two kinds of GPU that keeps a promise: one kind sized beside several numbers of the other."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sim.errors import BadInput
from sim.scenario.scenario import Scenario
from sim.studies.fleets import as_fields, sized_pools
from sim.studies.size import Size, size
from sim.wording import amount


def mixes(
    scenario: Scenario,
    beside: Sequence[int],
    promise: str | None = None,
    playbook: str | None = None,
    *,
    pool: str | None = None,
    kind: str | None = None,
    **how: Any,
) -> list[Size]:
    """The smallest number of one kind of GPU that keeps a promise, for each number of the other kind `beside` it.

    kind: the one that is sized; where None the one that is taken last. how: as for size(). Raises BadInput where the
    pool has not two kinds.
    """
    pools = sized_pools(scenario, pool, kind)
    kinds = scenario.kinds_taken[pools[0]]
    if len(pools) > 1:
        raise BadInput("a mix is of one pool", key="pool", expected=f"one of {', '.join(pools)}")
    (name,) = pools
    if len(kinds) != 2:
        has = f"{len(kinds)} kinds" if len(kinds) > 1 else "one kind"
        message = f"pool {name!r} has {has} of GPU, and a mix is of two"
        raise BadInput(message, key=f"pools.{name}.kinds", expected="two kinds")
    kind = kind or kinds[-1]
    (other,) = [k for k in kinds if k != kind]
    own = scenario.pools[name].kinds[kind].gpus
    fleets = {n: scenario.with_(pools={name: as_fields(n + own, {other: n})}) for n in beside}
    found = {n: size(fleet, promise, playbook, pool=name, kind=kind, **how) for n, fleet in fleets.items()}
    gpus = {name: scenario.pools[name].gpus}
    return [replace(one, beside=f"{n:,} {other}", own=gpus, needed=math.nan) for n, one in found.items()]


def cheapest(found: Sequence[Size]) -> Size | None:
    """The mix with the fewest dollars of those that keep the promise; None where none does."""
    return min((of for of in found if of.verdict == "meets"), key=lambda of: of.dollars, default=None)


def mix_sentences(found: Sequence[Size]) -> list[str]:
    """Which mix is the cheapest of those that were looked at, and what became of each."""
    best, lines = cheapest(found), []
    for of in found:
        fleet = " and ".join(f"{n:,} {kind}" for kinds in of.kinds.values() for kind, n in kinds.items())
        cost = f"{fleet} for ${amount(of.dollars)} a run" if of.gpus else f"no fleet ({of.reason or 'interrupted'})"
        lines.append(f"{'CHEAPEST: ' if of is best else ''}{cost}: {of.verdict}.")
    said = "" if best is not None else "NO MIX is shown to keep it. "
    head = f"{said}Mixes looked at for '{found[0].promise}':"
    return [head, *(f"  {line}" for line in lines), *at_an_end(found, best)]


def at_an_end(found: Sequence[Size], best: Size | None) -> list[str]:
    """Whether the cheapest mix has the most or the fewest GPUs `beside`, so that one beyond may be cheaper."""
    if best is None or len(found) < 2:
        return []
    numbers = [int(of.beside.partition(" ")[0].replace(",", "")) for of in found]
    own = next(number for number, of in zip(numbers, found, strict=True) if of is best)
    kind = best.beside.partition(" ")[2]
    more = "More" if own == max(numbers) else "Fewer" if own == min(numbers) > 0 else ""
    return [f"{more} of kind '{kind}' may be cheaper still: name more numbers in --beside."] if more else []
