"""The answers of `size` and of the largest multiple in plain sentences, and what each playbook saves."""

import math

import pandas as pd

from sim.results.energy import NOT_KNOWN
from sim.results.storms import HEALTHY
from sim.studies.demand_multiple import MOST, Multiple
from sim.studies.promise_findings import kept_out
from sim.studies.search import Look, clean_runs, why_counted
from sim.studies.size import Size
from sim.wording import amount, duration, in_gpus, percent


def sentences(found: Size) -> list[str]:
    """The answer for somebody who orders GPUs, the verdict first."""
    keeps = f"'{found.promise}' under playbook '{found.playbook}'"
    if found.verdict == "interrupted":
        return [f"INTERRUPTED: no answer yet for {keeps}; the table has what was looked at by then."]
    if found.verdict == "impossible":
        return [f"NO FLEET keeps {keeps}: {found.reason}."]
    assert found.answer is not None
    fleet = " and ".join(
        f"{in_gpus(gpus)} in pool '{pool}'{of_kinds(found, pool)}" for pool, gpus in found.gpus.items()
    )
    if found.futures:
        return [*of_futures(found, fleet), *context(found)]
    keep = "keeps" if found.total == 1 else "keep"
    kept = f"{keeps} in at least {percent(found.runs)} of runs"
    least = "" if found.neighbours or not found.monotone else ", the smallest fleet that can be asked for,"
    if found.verdict != "meets":
        lines = [f"UNDECIDED: {fleet}{least} {keep} {keeps} in {look_words(found.answer)}."]
    elif least:
        lines = [f"{fleet}{least} {keep} {kept} ({percent(found.confidence)} confidence)."]
    else:
        fewer = {look.verdict for look in found.neighbours.values()}
        less = "a step fewer does not" if fewer == {"misses"} else "for a step fewer that is not shown"
        lines = [f"{fleet} {keep} {kept} ({percent(found.confidence)} confidence), and {less}."]
    lines.append(f"With {fleet}: {look_words(found.answer)} keep it{reached(found)}.")
    for pool, look in found.neighbours.items():
        lines.append(f"{with_fewer(found, pool)}: {look_words(look)} keep it; it {verdict_words(look)}.")
    lines += [*evidence(found.answer, found.confidence), *two_fates(found), *context(found)]
    return lines


def two_fates(found: Size) -> list[str]:
    """That the answer may fail as a step fewer does, by far and seldom, where its margins do not show that."""
    assert found.answer is not None
    by_far = [pool for pool, look in found.neighbours.items() if look.two_groups]
    runs = len(found.answer.margins)
    need = clean_runs(found.runs, found.confidence)
    if not by_far or found.answer.counted or runs >= need:
        return []
    return [
        f"TWO FATES: with a step fewer, runs break it by far or not at all. This fleet may too, in so few runs that "
        f"{runs} do not show it; {need} would (--seeds {need})."
    ]


def with_fewer(found: Size, pool: str) -> str:
    """The fleet that is a step smaller in one pool."""
    return f"With {found.steps[pool]:,} fewer in pool '{pool}', {found.gpus[pool] - found.steps[pool]:,}"


def of_kinds(found: Size, pool: str) -> str:
    """How many of each kind, where a pool has several."""
    kinds = found.kinds.get(pool)
    return f" ({' and '.join(f'{n:,} {kind}' for kind, n in kinds.items())})" if kinds else ""


def best_of(found: list[Size]) -> Size:
    """The smallest of several answers (the cheapest mix), in the largest share of runs; the first if there is none."""
    strictest = [one for one in found if one.gpus and one.runs == max(other.runs for other in found)]
    measure = "dollars" if found[0].beside else "total"
    return min(strictest or found[:1], key=lambda one: (one.verdict != "meets", getattr(one, measure)))


def of_futures(found: Size, fleet: str) -> list[str]:
    """The answer where inputs are uncertain: counts of futures, since their margins follow no known law."""
    assert found.answer is not None
    keeps, share = f"'{found.promise}' under playbook '{found.playbook}'", percent(found.runs)
    shown = "" if found.answer.passes else f" UNDECIDED: of other futures fewer than {share}, see below."
    keep = "keeps" if found.total == 1 else "keep"
    lines = [f"P{100 * found.runs:g}: {fleet} {keep} {keeps} in {share} of futures.{shown}"]
    fewer = [(with_fewer(found, pool), look) for pool, look in found.neighbours.items()]
    for which, look in [(f"With {fleet}", found.answer), *fewer]:
        low, high = look.interval
        lines.append(
            f"{which}, it is kept in {look.kept} of {len(look.margins)} futures that the search had not "
            f"seen ({percent(low)} to {percent(high)} of all futures)."
        )
    lines.append(
        f"To show {share} with {percent(found.confidence)} confidence takes {clean_runs(found.runs, found.confidence)} "
        "futures without a failure. Inputs are drawn from their laws; whether these laws are right is not covered."
    )
    return lines


def look_words(look: Look) -> str:
    """How many runs keep the promise, with the interval."""
    low, high = look.interval
    return f"{look.kept} of {len(look.margins)} fresh runs ({percent(low)} to {percent(high)} of all runs)"


def verdict_words(look: Look) -> str:
    return {"meets": "meets the promise", "misses": "misses the promise"}.get(look.verdict, "is undecided")


def reached(found: Size) -> str:
    """What is reached on average, where the promise is about one share."""
    return f", which reach {percent(found.measure)} on average" if found.target else ""


def in_slice(found: Size) -> str:
    """That a figure is of the search's slice, where that is smaller than the scenario's."""
    least = float(found.table["scale"].min())
    return "" if least == found.scale else f", in a slice of 1/{1 / least:g}"


def evidence(look: Look, confidence: float) -> list[str]:
    """What the verdict rests on."""
    need = clean_runs(look.runs, confidence)
    if look.counted:
        only = f"{why_counted(look)}, so runs are only counted"
        if look.verdict != "undecided":
            return [f"{only} (the binomial law, with {percent(confidence)} confidence)."]
        return [
            f"{only}: to show that {percent(look.runs)} keep the promise with {percent(confidence)} confidence takes "
            f"{need} without a failure (--seeds {need})."
        ]
    return [
        f"Confidence {percent(confidence)}, from the margins of {len(look.margins)} runs with seeds that the search "
        f"had not seen, taken as normal; by the count of runs alone it would take {need} without a failure."
    ]


def context(found: Size) -> list[str]:
    """The load, where the curve bends, how much more demand fits, and the cost of the run."""
    load = " and ".join(f"{in_gpus(amount(gpus))} of pool '{pool}'" for pool, gpus in found.offered.items())
    long = f" of {duration(found.window)}" if found.window == found.window else ""
    lines = [f"In the busiest window{long} first requests would keep {load} busy if nobody waited."]
    if not math.isnan(found.knee):
        pools = list(found.offered)
        where = "in all pools sized" if len(pools) > 1 else f"in pool '{pools[0]}'"
        bend = f"{in_gpus(amount(found.knee))} {where}"
        lines.append(f"The curve bends at {bend}: from there on each GPU adds less than on average.")
    if found.carries > 0:
        lines.append(f"This fleet holds {up_to(found.carries)}{in_slice(found)}.")
    lines += [*passed_over(found), *not_about(found)]
    if found.imprecise and found.answer is not None:
        seeds = len(found.answer.margins)
        lines.append(f"NOT AS PRECISE AS ASKED FOR after {seeds} fresh seeds; --most-seeds allows more.")
    known = not math.isnan(found.kwh)
    power = f" and {amount(found.kwh / 1000)} MWh" if known else ""
    lines.append(f"The run costs ${amount(found.dollars)}{power}.{'' if known else f' {NOT_KNOWN}'}")
    if not found.monotone:
        lines.append(
            "NOT MONOTONE: some larger fleet breaks the promise, or some smaller one keeps it (see the table). The "
            "answer is the smallest from which on every larger fleet looked at keeps it."
        )
    if found.scale < 1:
        unit = 1 / found.scale
        lines.append(
            f"A slice of 1/{unit:g} was simulated: one of its GPUs stands for {unit:g}, and small pools wait more."
        )
    return lines


def up_to(multiple: float) -> str:
    """The largest multiple of a demand that is carried, in words; the most that is tried is no largest one."""
    return f"up to {multiple:.2f} times the demand" if multiple < MOST else f"{MOST:,} times the demand, or more"


def passed_over(found: Size | Multiple) -> list[str]:
    """What happens in the answer's runs although the promise is kept in them."""
    lines = [*unfinished(found.open_end), *kept_out(found.kept_out)]
    if not found.target and found.in_time < HEALTHY:
        lines.append(f"ONLY {percent(found.in_time)} IN TIME of all requests: the promise asks for no more.")
    return lines


def unfinished(share: float) -> list[str]:
    """That requests which still wait at the horizon are taken for kept, where the promise would be broken without."""
    if not share:
        return []
    return [
        f"STILL WAITING: {percent(share)} of requests are unfinished at the horizon, which count as neither lost nor "
        "served. The promise is kept only because of them: it would be broken if they failed. 'served >= 99 %' or "
        "'99 % in time' counts them."
    ]


def not_about(found: Size) -> list[str]:
    """What the answer says of pools that serve nothing of what is promised."""
    lines = []
    for pool, gpus in found.apart.items():
        if pool in found.gpus:
            lines.append(f"NOT ABOUT POOL '{pool}': it serves nothing of what is promised, so it may need more.")
        else:
            lines.append(f"Pool '{pool}' stays at {in_gpus(gpus)}: it serves nothing of what is promised.")
    return lines


def multiple_sentences(found: Multiple) -> list[str]:
    """The largest multiple of the demand, in words."""
    keeps = f"'{found.promise}' under playbook '{found.playbook}'"
    if found.interrupted:
        return [f"INTERRUPTED: no answer yet for {keeps}; the table has what was looked at by then."]
    if found.silent:
        return [f"NOBODY IS THERE to keep {keeps} to: no request is decided by the horizon, at any multiple looked at."]
    if found.answer is None:
        return [f"NOT EVEN a hundredth of the demand is carried with {keeps} kept."]
    holds = f"HOLDS {up_to(found.holds).replace('up to', 'UP TO')}, with {keeps} kept in"
    shown = found.answer.verdict == "meets"
    share = f"at least {percent(found.runs)} of runs" if shown else look_words(found.answer)
    lines = [f"{'' if shown else 'UNDECIDED: '}{holds} {share}."]
    lines += passed_over(found)
    lines.append(f"At {found.holds:.2f} times: {look_words(found.answer)} keep it; it {verdict_words(found.answer)}.")
    if found.holds >= MOST:
        lines.append("More than that is not tried: the promise may not depend on the demand at all.")
    elif found.beyond is None:
        lines.append("More than that is more than a run can hold.")
    else:
        more = f"At {found.holds + 0.01:.2f} times: {look_words(found.beyond)}"
        lines.append(f"{more} keep it; it {verdict_words(found.beyond)}.")
    return [*lines, *evidence(found.answer, found.confidence)]


def savings(found: list[Size]) -> pd.DataFrame:
    """GPUs, dollars and energy that each playbook saves against the first: one row per playbook, nan where no fleet."""
    first = found[0]
    rows = [
        {
            "playbook": one.label,
            "verdict": one.verdict,
            "gpus": one.total if one.gpus else math.nan,
            "saved": first.total - one.total if one.gpus and first.gpus else math.nan,
            "carries": one.carries,
            "dollars": one.dollars,
            "kwh": one.kwh,
            "reason": one.reason,
        }
        for one in found
    ]
    return pd.DataFrame(rows)
