"""The parts of a report about one run: a page that says how it went, and all its tables for the appendix."""

import math

from sim.report import tables, words
from sim.report.blocks import Block, Boxes, Lines, Part
from sim.report.pictures import pictures
from sim.report.promise_tables import promises_of_run
from sim.report.tables import money_tables
from sim.results.energy import energy_sentences
from sim.results.money import image_or_chat
from sim.results.pool_verdict import PoolVerdict, from_warm_up
from sim.results.retry_rules import rule_sentences
from sim.results.run import Run
from sim.results.verdict import Verdict, headline, sentences, warnings, windows_of_life
from sim.wording import in_gpus, percent


def in_brief(v: Verdict, anchor: str, title: str, about: str) -> Part:
    """How a run went, in one sentence and the figures looked for first. about: what kind of run it is."""
    first: list[Block] = [Lines([headline(v)], "answer"), Boxes(highlights(v))]
    return Part(anchor, title, [*first, *promises_of_run(v.run), Lines([about])], badge(v))


def summary(v: Verdict, title: str, anchor: str, known: list[str]) -> Part:
    """One page on a run: the verdict, the figures looked for first, and what became of its attempts.

    known: warnings that the reader has seen before.
    """
    every, alarms = sentences(v), warnings(v)
    said = every[: len(every) - len(alarms)]
    fresh = Lines([alarm for alarm in alarms if alarm not in known], "warnings")
    blocks: list[Block] = [Boxes(highlights(v)), Lines(said, "answer"), fresh, *pictures(v, ["outcomes"])]
    return Part(anchor, title, blocks, badge(v), level=3, fresh=True)


def details(v: Verdict, title: str, anchor: str, drawn: list[str]) -> Part:
    """All tables of a run. drawn: the figures to show."""
    shown = [
        tables.requests(v),
        tables.refusals(v),
        *tables.latency_tables(v),
        tables.pools(v),
        tables.consumers(v),
        tables.gpu_time(v),
        tables.footprint(v),
        *money_tables(v),
        tables.signups(v),
        tables.decisions(v),
        in_time_within(v.run),
    ]
    said = [*rule_sentences(v.run), *energy_sentences(v.run), rule_of_life(v.run)]
    return Part(anchor, f"{title}: figures and tables", [*pictures(v, drawn), *shown, Lines(said)], level=3)


def badge(v: Verdict) -> tuple[str, str]:
    """A class and a word: green only where life means that most requests were in time and most people let in.

    Most: the share that the scenario asks of a good window (alive.kept).
    """
    if math.isnan(v.life.attainment):
        return "strained", "nothing was decided"
    if not v.life.alive:
        return "dead", "not alive"
    least = v.run.manifest["alive"]["kept"]
    if v.life.attainment < least:
        return "strained", f"alive, only {percent(v.life.attainment)} in time"
    came, let_in = v.signups["came"], v.signups["let_in"]
    if let_in < least * came:
        return "strained", f"alive, only {percent(let_in / came)} let in"
    return "alive", "alive"


def highlights(v: Verdict) -> list[tuple[str, str, str]]:
    """The few figures that a planner looks for first."""
    things = image_or_chat(v.run).replace("image", "images").replace("chat", "chats")
    first = min((pool.first_saturated for pool in v.pools if pool.saturated), default=float("nan"))
    tonnes = words.known(v.full(v.energy["kg_co2e"]) / 1000, " t CO2e")
    saturated = "no pool saturates" if math.isnan(first) else f"after the start; from {words.instant(v.run, first)}"
    if from_warm_up(v.run, first):
        saturated = f"after the start, when the warm-up ends, or earlier: {words.instant(v.run, first)}"
    return [
        ("in time", words.share(v.life.attainment), "of all requests"),
        ("goodput", f"{words.count(v.full(v.goodput))}/s", f"{things} in time, at the spec asked for"),
        ("p95 latency", words.seconds(v.latency_of_all("p95")), "of all requests, served or not"),
        ("saturation", words.seconds(first), saturated),
        peak_load(v, max(v.pools, key=lambda pool: pool.peak_load)),
        ("cost", words.dollars(v.dollars), f"of all GPUs, with {tonnes}" if tonnes != "not known" else "of all GPUs"),
    ]


def peak_load(v: Verdict, pool: PoolVerdict) -> tuple[str, str, str]:
    """The highlight on load: what was offered, where it was measured."""
    if not pool.offered:
        return "peak load", words.share(pool.peak_load), f"of pool {pool.name}, by the requests that came"
    gpus = words.count(v.run.manifest["pools"][pool.name]["gpus_in_full"])
    most = max(peak.work for peak in pool.offered)
    return "offered load", in_gpus(words.count(most)), f"of work at its peak, for the {gpus} of pool {pool.name}"


def rule_of_life(run: Run) -> str:
    """The scenario's definition of alive, in words."""
    rule, edges = run.manifest["alive"], windows_of_life(run)
    length = words.seconds(float(edges[-1] - edges[0]) / (len(edges) - 1))
    cut = f"cut into windows of {length}" if len(edges) > 2 else f"one window, of {length}"
    return (
        f"The run is {cut}. A window is good if at least "
        f"{words.share(rule['kept'])} of the requests it granted got an image in time. The service is alive if at "
        f"least {words.share(rule['windows'])} of the windows with granted requests are good and at least "
        f"{words.share(rule['attainment'])} of all requests got an image in time."
    )


def in_time_within(run: Run) -> tables.Table:
    """The definition of 'in time' for each feature."""
    rows = [
        [name, str(facts["pool"]), words.share(facts["share"]), words.seconds(facts["slo"])]
        for name, facts in run.manifest["features"].items()
    ]
    head = ["feature", "pool", "share of requests", "latency at most"]
    return tables.Table("An image is in time within", head, rows, labels=2)
