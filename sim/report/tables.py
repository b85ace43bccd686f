"""The tables of a report on one run, with its money and its bill: cells of text, counts at full scale."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import pandas as pd

from sim.policies.base import ABSENT
from sim.report import words
from sim.results.contracts import bill, contract_sentences
from sim.results.metrics import outcomes, refused_by
from sim.results.pool_verdict import PoolVerdict
from sim.results.run import Run
from sim.results.saturation import DEFINITION
from sim.results.verdict import Verdict
from sim.wording import usd

MOST_DECISIONS = 60
LEAST_SHARE = 0.001  # of GPU time, for a line of its own
ENDS = {"wasted": "wasted: the user had left", "loading": "model loads", "lost": "work lost with its GPU"}


@dataclass(frozen=True)
class Table:
    """Cells as text. The first `labels` columns are words, the others figures; `note` explains what is not obvious."""

    what: ClassVar = "table"  # a block of a page
    caption: str
    head: list[str]
    rows: list[list[str]]
    labels: int = 1
    note: str = ""


def table_of(
    caption: str, rows: Iterable[Any], columns: Mapping[str, Callable[[Any], str]], *, labels: int = 1, note: str = ""
) -> Table:
    """A row for each of some things: by the head of each column, what it shows of a thing."""
    return Table(caption, list(columns), [[cell(row) for cell in columns.values()] for row in rows], labels, note)


COUNTS = {
    "intents": "wanted",
    "served": "served",
    "in_time": "in time",
    "degraded": "degraded",
    "lost": "lost",
    "unfinished": "unfinished",
    "attempts": "attempts",
    "refused": "refused",
    "abandoned": "abandoned",
    "retried": "retries",
}


def requests(v: Verdict) -> Table:
    """Outcomes of requests and attempts, by tier and feature, and in total."""
    by = outcomes(v.run, ["tier", "feature"])

    def row(labels: list[str], counts: dict[Any, Any]) -> list[str]:
        written = [words.count(v.full(counts[name])) for name in COUNTS]
        return [*labels, words.share(counts["attainment"]), *written]

    rows = [row([str(t), str(f)], group) for (t, f), group in zip(by.index, by.to_dict("records"), strict=True)]
    return Table(
        "Outcomes of requests, by tier and feature",
        ["tier", "feature", "attainment", *COUNTS.values()],
        [*rows, row(["all", "all"], v.counts)],
        labels=2,
        note="'wanted' to 'unfinished' count requests; 'attempts' to 'retries' count attempts, and a request may take "
        "several. Attainment is the share of requests with an image in time: refused, abandoned and lost requests "
        "are misses. A degraded image is served at a cheaper spec than the user asked for.",
    )


def refusals(v: Verdict) -> Table:
    """Refused attempts by reason and tier."""
    by = refused_by(v.run, "tier")
    rows = []
    for reason, counts in by.iterrows():
        written = [words.count(v.full(float(number))) for number in [*counts, counts.sum()]]
        rows.append([str(reason), *written])
    return Table("Refused attempts, by reason", ["reason", *map(str, by.columns), "all"], rows)


def latency_tables(v: Verdict) -> list[Table]:
    """Two tables, of served requests only and of all requests, so that they are not confused."""
    by = pd.concat([v.latency_by_tier, v.latency])

    def rows(of: str, what: str) -> list[list[str]]:
        """A row for each tier and for all: its name, three quantiles, and how many requests they are of."""
        chosen = by[[index[:2] == (of, what) for index in by.index]]
        return [
            [str(index[2]), *(words.seconds(row[q]) for q in ("p50", "p95", "p99")), words.count(v.full(row["n"]))]
            for index, row in zip(chosen.index, chosen.to_dict("records"), strict=True)
        ]

    meant = {
        "wait": "Wait is the time from the attempt that was served to its start on a GPU",
        "latency": "latency from the attempt that was served to its image",
        "first token": "first token from the attempt that was served to its first token (step)",
        "per token": "per token from one of its tokens to the next, on average",
    }
    served = {what: rows("served", what) for what in meant}
    said = ", ".join(text for what, text in meant.items() if served[what] or not what.endswith("token"))
    return [
        Table(
            "Served requests only",
            ["tier", "what", "median", "p95", "p99", "served requests"],
            [[tier, what, *figures] for what, some in served.items() for tier, *figures in some],
            labels=2,
            note=f"{said}. Refused and abandoned requests are not counted, so a service that loses most of them can "
            "look fast in this table.",
        ),
        Table(
            "All requests, including those that never got an image",
            ["tier", "median", "p95", "p99", "requests"],
            rows("all intents", "latency"),
            note="Latency is the time from the first attempt to the image. 'never' as p95: more than 5 % got none.",
        ),
    ]


def pools(v: Verdict) -> Table:
    """The offered load of each pool at its peak, and when it saturated."""
    note = (
        f"{DEFINITION} Offered: the GPUs of work (GPU-seconds per second, in full batches, model loads included) in "
        "the busiest ten minutes and in the busiest hour of a run of the same people with an unlimited fleet, where "
        "nobody waits, gives up or is refused. That is not a number of GPUs that is enough: only a run with them shows "
        "one. Peak load as it came: the largest hourly mean of the work of this run's first requests, as they were "
        "asked for, over capacity."
    )
    columns: dict[str, Callable[[PoolVerdict], str]] = {
        "pool": lambda pool: pool.name,
        "GPUs": lambda pool: words.count(v.run.manifest["pools"][pool.name]["gpus_in_full"]),
        "offered in 10 min": lambda pool: offered(pool)[0],
        "offered in an hour": lambda pool: offered(pool)[1],
        "of it model loads": lambda pool: offered(pool)[2],
        "peak load, as it came": lambda pool: words.share(pool.peak_load),
        "saturated from (UTC)": lambda pool: words.instant(v.run, pool.first_saturated),
        "for": lambda pool: words.seconds(pool.saturated) if pool.saturated else "never",
        "at the horizon": lambda pool: "yes" if pool.saturated_at_horizon else "no",
        "longest queue": lambda pool: words.count(v.full(pool.peak_queue)),
        "at (UTC)": lambda pool: words.instant(v.run, pool.peak_queue_at),
        "drained in": lambda pool: words.seconds(pool.drain) if pool.peak_queue else "none",
        "queued at the horizon": lambda pool: words.count(v.full(pool.queued_at_horizon)),
    }
    return table_of("Pools", v.pools, columns, note=note)


def offered(pool: PoolVerdict) -> list[str]:
    """The cells on offered load: over ten minutes, over an hour, and the larger share of model loads."""
    if not pool.offered:
        return ["not measured"] * 3
    shares = [peak.loading / peak.work if peak.work > 0 else 0.0 for peak in pool.offered]
    return [*(words.count(peak.work) for peak in pool.offered), words.share(max(shares))]


def consumers(v: Verdict) -> Table:
    """What GPU time was spent on while each pool was saturated, or else in the whole run."""
    rows = []
    for pool in v.pools:
        when = "while saturated" if pool.saturated else "whole run (never saturated)"
        for part in pool.consumed[pool.consumed["share"] >= LEAST_SHARE].to_dict("records"):
            end = ENDS.get(part["use"], part["use"])
            rows.append([pool.name, when, str(part["tier"]), str(part["feature"]), end, words.share(part["share"])])
    head = ["pool", "when", "tier", "feature", "use", "share of GPU time"]
    return Table("What GPU time was spent on", head, rows, labels=5, note="Shares below 0.1 % are left out.")


def gpu_time(v: Verdict) -> Table:
    """GPU-hours by pool: in service by use, and absent."""
    lost = ["lost"] if v.gpu_hours["lost"].any() else []
    uses = ["useful", "wasted", "loading", *lost, "idle"]
    absent = [name for name in ABSENT if v.gpu_hours[name].any()]
    rows = []
    for pool, hours in v.gpu_hours.iterrows():
        parts = [
            f"{words.count(v.full(hours[n]))} ({words.share(hours[n] / max(hours['total'], 1e-300))})" for n in uses
        ]
        rows.append([str(pool), *parts, *(words.count(v.full(hours[n])) for n in ("total", *absent, "paid"))])
    head = ["pool", *uses, "in service", *(name.replace("_", " ") for name in absent), "paid"]
    note = "Wasted: spent on images that nobody was waiting for. Loading: of models. Paid: as the pool's 'pays' says."
    note += " Lost: on work that was lost with its GPU." if lost else ""
    note += " A GPU that fails or leaves is in service until its batch is done, or lost." if absent else ""
    return Table("GPU-hours", head, rows, note=note)


def footprint(v: Verdict) -> Table:
    """Money, energy, carbon and water, in total and per served request."""
    images = v.counts["served"]
    mwh, tonnes = v.full(v.energy["kwh"]) / 1000, v.full(v.energy["kg_co2e"]) / 1000

    def each(total: float, unit: str) -> str:
        return words.known(total / images, unit) if images else "none"

    rows = [
        [
            "GPUs, busy or idle",
            words.dollars(v.dollars),
            words.dollars(v.dollars / v.full(images)) if images else "none",
        ],
        ["energy of the GPUs", words.known(v.full(v.energy["gpu_kwh"]) / 1000, " MWh"), ""],
        ["energy at the meter", words.known(mwh, " MWh"), each(v.energy["kwh"] * 1000, " Wh")],
        ["greenhouse gas", words.known(tonnes, " t CO2e"), each(v.energy["kg_co2e"] * 1000, " g CO2e")],
        *[
            [f"water {where}", words.known(v.full(v.energy[name]) / 1000, " m³"), each(v.energy[name] * 1000, " ml")]
            for where, name in (("on site", "litres_on_site"), ("at power plants", "litres_of_grid"))
        ],
    ]
    return Table("Cost, energy, carbon and water", ["item", "in total", "per served request"], rows)


def signups(v: Verdict) -> Table:
    """Newcomers let in, lost and waiting, and people who left for good."""
    s = v.signups
    brought = {} if v.run.manifest["word_of_mouth"] is None else {"of these, brought by images": s["invited"]}
    counts = {
        "came to sign up": s["came"],
        **brought,
        "let in": s["let_in"],
        "gave up on the waitlist": s["lost"],
        "still on the waitlist at the horizon": s["waiting"],
        "left for good after being let in": v.churned,
    }
    rows = [[name, words.count(v.full(number))] for name, number in counts.items()]
    return Table("Signups", ["people", "number"], rows)


def decisions(v: Verdict) -> Table:
    """Changes of knobs: equal ones at one instant share a row; with the reason, where there are triggers."""
    table = v.run.decisions
    equal = table.groupby(["time", "policy", "knob", "new", "old", "reason"], sort=False, dropna=False)
    rows = [decision(v, key, group) for key, group in islice(equal, MOST_DECISIONS)]
    left_out = equal.ngroups - len(rows)
    note = f"{left_out} later changes are left out; the decisions table of the run has them all." if left_out else ""
    head, labels = ["when (UTC)", "policy", "knob", "for", "why", "from", "to"], 5
    if table["reason"].isna().all():
        head, rows, labels = [*head[:4], *head[5:]], [[*row[:4], *row[5:]] for row in rows], 4
    return Table("Decisions", head, rows, labels=labels, note=note)


def decision(v: Verdict, key: Any, group: pd.DataFrame) -> list[str]:
    """One row: when, which policy changed which knob, for which users, why, and the values before and after."""
    time, policy, knob, new, old, reason = key
    whom = f"{named(group['tier'], len(v.run.manifest['tiers']), 'tiers')}; "
    whom += named(group["feature"], len(v.run.manifest["features"]), "features")
    if knob == "signup_rate":
        whom = "newcomers"
    if knob == "step":
        whom = "users named in the step"
    values = [words.knob(v.run, str(knob), float(value)) for value in (old, new)]
    why = reason if isinstance(reason, str) else ""
    return [words.instant(v.run, float(time)), str(policy), str(knob).replace("_", " "), whom, why, *values]


def named(values: pd.Series, of: int, what: str) -> str:
    """A few names, or 'all' of them."""
    names = list(dict.fromkeys(str(value) for value in values.dropna()))
    return f"all {what}" if len(names) == of else ", ".join(names) or f"all {what}"


def money_tables(v: Verdict) -> list[Table]:
    """What each tier brings, where the scenario has prices; and what the GPUs cost by contract."""
    return [*([] if v.money is None else [revenue(v)]), contracts(v.run)]


def revenue(v: Verdict) -> Table:
    """Revenue accrued and valued afterwards, by tier and in total."""
    assert v.money is not None
    parts = ("accrued", "signed_up", "converted", "cancelled", "revenue")
    rows = [
        [tier.tier, words.count(tier.people), *[usd(getattr(tier, part)) for part in parts]] for tier in v.money.tiers
    ]
    totals = [usd(sum(getattr(tier, part) for tier in v.money.tiers)) for part in parts]
    rows.append(["all", words.count(sum(tier.people for tier in v.money.tiers)), *totals])
    head = ["tier", "people", "accrued", "new subscribers", "start to pay", "cancel", "revenue"]
    note = (
        "'accrued' is in the run's window. The rest is valued afterwards, as expected values: the later months of "
        "people who signed up, of users who start to pay after good images, and (to be subtracted) of subscribers who "
        "cancel after images that were lost or late. Their probabilities are at the end of this report. 'meltpoint "
        "money' compares with an unlimited fleet."
    )
    return Table("Revenue, by tier", head, rows, note=note)


def contracts(run: Run) -> Table:
    """GPU-hours paid and dollars, by pool and contract."""
    columns: dict[str, Callable[[Any], str]] = {
        "pool": lambda row: row["pool"],
        "contract": lambda row: row["contract"],
        "GPU-hours paid": lambda row: words.count(row["gpu_hours"]),
        "an hour": lambda row: f"${row['dollars_per_gpu_hour']:.3g}",
        "cost": lambda row: usd(row["dollars"]),
    }
    note = " ".join(contract_sentences(run))
    return table_of("GPUs, by contract", bill(run).to_dict("records"), columns, labels=2, note=note)
