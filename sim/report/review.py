"""The short sections of a report on one playbook, as in a launch review: volume, users, switches, money, risks."""

import math
from typing import Any

from sim.report import words
from sim.report.blocks import Block, Lines, Part
from sim.report.pictures import fleet_changes, pictures
from sim.report.ranking import FAIRNESS, figures_of
from sim.report.switches import switch_table
from sim.report.tables import Table, table_of
from sim.results.fairness import WHY_NOT, fairness
from sim.results.metrics import outcomes
from sim.results.money import money_sentences
from sim.results.pool_verdict import PoolVerdict
from sim.results.verdict import Verdict, cost_sentence
from sim.studies.compare import Comparison
from sim.wording import from_to, usd

MULTIPLES = (2, 5)  # of the demand, beside the demand itself
MOST_SPANS = 6  # of time in which a promise was broken
OTHER_RUNS = (
    "Not looked at in this report: other demand, fewer GPUs, a lost rack or zone, other patience or prices. 'meltpoint "
    "size' finds how many GPUs are enough, 'meltpoint sweep' varies any figure, and 'meltpoint rescue' finds how late "
    "help may come."
)


def volume(v: Verdict) -> Part:
    """Who comes, the load they offer each pool, and how much of it the fleet holds."""
    drawn = pictures(v, ["demand", "fleet"] if fleet_changes(v) else ["demand"])
    return Part("volume", "Expected volume and headroom", [Lines([demand_sentence(v)]), headroom(v), *drawn])


def demand_sentence(v: Verdict) -> str:
    """How many people and requests came in the run, and the sources of demand that the scenario names."""
    c, full = v.counts, v.full
    demand = v.run.manifest["scenario"].get("demand")
    parts = demand.get("waves") or [] if isinstance(demand, dict) else []
    named = ", ".join(f"'{wave.get('name') or wave.get('kind')}'" for wave in parts)
    return (
        f"{words.count(full(v.signups['came']))} people come to sign up; {words.count(full(c['intents']))} requests "
        f"are wanted and take {words.count(full(c['attempts']))} attempts, retries included."
        f"{f' Waves of people: {named}.' if named else ''} The origin of each figure is in the last appendix."
    )


def headroom(v: Verdict) -> Table:
    """Each pool's offered load at its peak, at this demand and at multiples of it, beside its GPUs."""
    head = [
        "pool",
        "GPUs",
        "load of the busiest 10 min",
        "from (UTC)",
        "load of the busiest hour",
        "GPUs, of that load",
    ]
    head += [f"hour at {times}x demand" for times in MULTIPLES]
    note = (
        "Load: GPUs of work in the busiest ten minutes and in the busiest hour of a run of the same people with an "
        "unlimited fleet, where nobody gives up or is refused. Where the GPUs are below 100 % of it, they cannot do "
        "all the work of that hour when it comes. Work at multiples of the demand is proportional, not a run, and work "
        "alone does not say how many GPUs are enough."
    )
    return Table("Offered load and headroom, by pool", head, [of_pool(v, pool) for pool in v.pools], note=note)


def of_pool(v: Verdict, pool: PoolVerdict) -> list[str]:
    gpus = from_to(*(words.count(v.full(gpus)) for gpus in pool.fleet))
    if not pool.offered:
        return [pool.name, gpus, *["not measured"] * (4 + len(MULTIPLES))]
    short, long = pool.offered[0], pool.offered[-1]
    if long.work <= 0:
        return [pool.name, gpus, "none", "never", "none", "no load", *["none"] * len(MULTIPLES)]
    shares = [words.share(v.full(gpus) / long.work) for gpus in pool.fleet]
    over = " to ".join(dict.fromkeys(shares))
    times = [words.count(times * long.work) for times in MULTIPLES]
    peaks = [words.count(short.work), words.instant(v.run, short.at), words.count(long.work)]
    return [pool.name, gpus, *peaks, over, *times]


def users(v: Verdict) -> Part:
    """What people see: what becomes of their requests, when the promise is broken, and how long they wait."""
    drawn = pictures(v, ["cohort", "waits"] if v.run.has_rows else ["cohort"])
    return Part("users", "What users see", [Lines(hours(v)), by_tier(v), *drawn])


def hours(v: Verdict) -> list[str]:
    """The spans of the clock in which a pool was saturated or the promise was broken."""
    spans = merged(v.life.dead)
    rule = v.run.manifest["alive"]
    said = [f"{words.instant(v.run, since)} to {words.instant(v.run, until)}" for since, until in spans[:MOST_SPANS]]
    more = f", and {len(spans) - MOST_SPANS} more times" if len(spans) > MOST_SPANS else ""
    broken = (
        f"Fewer than {words.share(rule['kept'])} of the requests that were let in got an image in time: "
        f"{'; '.join(said)}{more} (UTC)."
        if spans
        else f"At all times at least {words.share(rule['kept'])} of the requests that were let in got an image in time."
    )
    hot = [
        f"Pool '{pool.name}' is saturated from {words.instant(v.run, pool.first_saturated)} UTC, for "
        f"{words.seconds(pool.saturated)} in all."
        for pool in v.pools
        if not math.isnan(pool.first_saturated)
    ]
    return [broken, *(hot or ["No pool saturates."])]


def merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans of time, those that touch joined."""
    found: list[tuple[float, float]] = []
    for since, until in spans:
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], until)
        else:
            found.append((since, until))
    return found


def by_tier(v: Verdict) -> Table:
    """In per cent of the requests of each tier, and how long they took."""
    counts, waits = outcomes(v.run, "tier"), v.latency_by_tier.to_dict("index")
    rows = []
    for tier, c in counts.to_dict("index").items():
        wanted = c["intents"] or math.nan
        parts = [c["in_time"], c["degraded"], c["served"] - c["in_time"], c["lost"], c["unfinished"]]
        times: dict[Any, float] = waits.get(("all intents", "latency", tier), {"p50": math.nan, "p95": math.nan})
        shares, took = [words.share(part / wanted) for part in parts], [words.seconds(times[q]) for q in ("p50", "p95")]
        rows.append([str(tier), words.count(v.full(c["intents"])), *shares, *took])
    head = ["tier", "wanted", "in time", "degraded", "late", "lost", "unfinished", "median latency", "p95 latency"]
    note = (
        "Shares of the requests that a tier wanted. Degraded: of those served, at a cheaper spec. Lost: given up after "
        "a refusal or a wait. Latency is from the first attempt to the image, of all requests; 'never' where too many "
        "got none."
    )
    return Table("What each tier gets", head, rows, note=note)


def switches(v: Verdict) -> Part:
    """The kill switches in order."""
    return Part("switches", f"Kill switches of '{v.run.manifest['playbook']}'", [switch_table(v.run)])


def money(v: Verdict, comparison: Comparison | None) -> Part:
    """What the chosen playbook costs and earns, and what the others do."""
    blocks: list[Block] = [Lines([cost_sentence(v), *([] if v.money is None else money_sentences(v.run, v.money))])]
    if comparison is not None and v.money is not None:
        blocks.append(money_table(comparison))
    return Part("money", "Money and energy", blocks)


def money_table(comparison: Comparison) -> Table:
    """Revenue, cost and their difference for each playbook; means over seeds."""
    best = figures_of(comparison, comparison.ranking[0])["margin"]["mean"]
    rows = []
    for name in comparison.ranking:
        found = figures_of(comparison, name)
        parts = [found[metric]["mean"] for metric in ("revenue", "dollars", "margin")]
        rows.append([name, *map(usd, parts), usd(parts[-1] - best)])
    head = ["playbook", "revenue", "cost of the GPUs", "revenue less GPUs", f"against {comparison.ranking[0]}"]
    note = "Revenue of the run and of the months after it that it decides, mostly with assumed probabilities."
    return Table("Money, by playbook", head, rows, note=note)


def fair(v: Verdict, comparison: Comparison | None) -> Part:
    """Which part of what they asked for each group of people got."""
    groups = fairness(v.run)
    if groups is None:
        return Part("fairness", "Fairness", [Lines([WHY_NOT])])
    columns = {"group": lambda f: f["group"], "people": lambda f: words.count(v.full(f["people"])), **FAIRNESS}
    note = (
        "The mean over people of the share of their requests that was served; people who came to sign up and were "
        "never let in got nothing. Gini (0: all the same) and Jain (1: all the same) are of that share. One run of "
        f"this playbook{'; means of all playbooks are in the appendix' if comparison is not None else ''}."
    )
    rows = groups.reset_index().to_dict("records")
    return Part("fairness", "Fairness", [table_of("Who got what they asked for", rows, columns, note=note)])


def risks(said: list[str], covers: list[str]) -> Part:
    """Warnings to read before relying on the figures, and what no run here covers (covers)."""
    return Part("risks", "Risks, and what is not known", [Lines(said, "warnings"), Lines(covers, "list")])
