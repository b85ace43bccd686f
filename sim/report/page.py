"""The report: runs, their figures and their sources on one HTML page that needs nothing but itself."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from sim.plots import MOST_POOLS, comparison_figure, run_figures
from sim.plots.saving import data_url, write_bytes
from sim.report import tables, words
from sim.report.money_tables import money_tables
from sim.report.origins import origins
from sim.report.ranking import (
    configurations_table,
    fairness_table,
    gives_and_costs,
    other_costs,
    ranking,
    ranking_of_runs,
)
from sim.results.energy_sentences import energy_sentences
from sim.results.pool_verdict import PoolVerdict
from sim.results.retry_rules import rule_sentences
from sim.results.run import Run
from sim.results.verdict import Verdict, sentences, verdict, warnings
from sim.studies.choice import choice
from sim.studies.compare import Comparison
from sim.wording import percent


@dataclass(frozen=True)
class Picture:
    """A figure as a data URL, with a description and a caption."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """The part of the page about one run."""

    name: str
    badge: tuple[str, str]  # its class, and what it says
    verdict: list[str]
    retries: list[str]
    warnings: list[str]
    highlights: list[tuple[str, str, str]]  # label, figure, remark
    rule: str
    promises: tables.Table
    outcomes: list[tables.Table]
    latency: list[tables.Table]
    capacity: list[tables.Table]
    costs: list[tables.Table]
    energy: list[str]
    people: list[tables.Table]
    decisions: tables.Table
    pictures: dict[str, Picture]


def render(runs: list[Run], comparison: Comparison | None = None) -> str:
    """One self-contained HTML page about one run, or about several and how they compare."""
    if not runs:
        raise ValueError("a report needs at least one run")
    names = list(comparison.configurations) if comparison and comparison.configurations else section_names(runs)
    noun = "playbook" if comparison is None else comparison.noun
    verdicts = [verdict(run) for run in runs]
    sections = [section(v, name) for v, name in zip(verdicts, names, strict=True)]
    ranked: list[tables.Table] = []
    picture = None
    if comparison is not None:
        ranked = [of(comparison) for of in (ranking, gives_and_costs, other_costs, fairness_table)]
        if comparison.configurations:
            ranked.append(configurations_table(comparison, runs))
        best = comparison.ranking[0]
        alt = f"Dots with intervals, one row per {noun}, for several measures; {best} is ranked first."
        kinds = noun.capitalize()
        caption = f"{kinds}s side by side. A dot is the mean, a bar its 95 % interval, the dotted line the baseline."
        picture = pictured(comparison_figure(comparison.differences, baseline=comparison.baseline), alt, caption)
    elif len(runs) > 1:
        ranked = [ranking_of_runs(verdicts, names)]
    environment = Environment(
        loader=PackageLoader("sim.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        facts=runs[0].manifest,
        span=f"{words.instant(runs[0], 0)} to {words.instant(runs[0], runs[0].horizon)} UTC",
        length=words.seconds(runs[0].horizon),
        ranking=ranked,
        choice=[] if comparison is None else choice(comparison),
        comparison=picture,
        sections=sections,
        warnings=gathered(sections, noun),
        noun=noun,
        origins=origins(runs),
    )


def gathered(sections: list[Section], noun: str = "playbook") -> list[tuple[str, str]]:
    """Each warning once, with its playbooks unless it concerns all of them."""
    concerned: dict[str, list[str]] = {}
    for part in sections:
        for warning in part.warnings:
            concerned.setdefault(warning, []).append(part.name)
    return [
        (warning, "" if len(names) == len(sections) else f"{noun} " + ", ".join(names))
        for warning, names in concerned.items()
    ]


def write(html: str, path: Path) -> Path:
    """Write the page, all of it or nothing; gives back the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(html.encode("utf-8", errors="replace"), path)


def section_names(runs: list[Run]) -> list[str]:
    """The playbook of each run, with the seed where a playbook comes more than once."""
    playbooks = [str(run.manifest["playbook"]) for run in runs]
    if len(set(playbooks)) == len(playbooks):
        return playbooks
    return [f"{name}, seed {run.manifest['seed']}" for name, run in zip(playbooks, runs, strict=True)]


def section(v: Verdict, name: str) -> Section:
    """Everything about one run."""
    alarms = warnings(v)
    every = sentences(v)
    return Section(
        name=name,
        badge=badge(v),
        verdict=every[: len(every) - len(alarms)],
        retries=rule_sentences(v.run),
        warnings=alarms,
        highlights=highlights(v),
        rule=rule_of_life(v.run),
        promises=promises(v.run),
        outcomes=[tables.requests(v), tables.refusals(v)],
        latency=tables.latency_tables(v),
        capacity=[tables.pools(v), tables.consumers(v)],
        costs=[tables.gpu_time(v), tables.bill(v), *money_tables(v)],
        energy=energy_sentences(v.run),
        people=[tables.signups(v)],
        decisions=tables.decisions(v),
        pictures=pictures(v),
    )


def badge(v: Verdict) -> tuple[str, str]:
    """A class and a word: green only where life means that most requests were in time and most people let in.

    Most: the share that the scenario asks of a good window (alive.kept).
    """
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
    first = min((pool.first_saturated for pool in v.pools if pool.saturated), default=float("nan"))
    saturated = f"from {words.instant(v.run, first)}" if first == first else "no pool saturates"
    return [
        ("in time", words.share(v.life.attainment), "of all requests"),
        ("goodput", f"{words.count(v.full(v.goodput))}/s", "images in time, at the spec asked for"),
        ("p95 latency", words.seconds(tables.p95_of_all(v)), "of all requests, served or not"),
        ("saturation", words.seconds(first), f"after the start; {saturated}" if first == first else saturated),
        peak_load(v, max(v.pools, key=lambda pool: pool.peak_load)),
        ("cost", words.dollars(v.dollars), f"{words.known(v.full(v.energy['kg_co2e']) / 1000)} t CO2e"),
    ]


def peak_load(v: Verdict, pool: PoolVerdict) -> tuple[str, str, str]:
    """The highlight on load: what was offered, where it was measured."""
    if not pool.offered:
        return "peak load", words.share(pool.peak_load), f"of pool {pool.name}, by the requests that came"
    gpus = words.count(v.run.manifest["pools"][pool.name]["gpus_in_full"])
    most = max(peak.work for peak in pool.offered)
    return "offered load", f"{words.count(most)} GPUs", f"of work at its peak, for the {gpus} of pool {pool.name}"


def rule_of_life(run: Run) -> str:
    """The scenario's definition of alive, in words."""
    rule = run.manifest["alive"]
    return (
        f"The run is cut into windows of {words.seconds(rule['window'])}. A window is good if at least "
        f"{words.share(rule['kept'])} of the requests it granted got an image in time. The service is alive if at "
        f"least {words.share(rule['windows'])} of the windows with granted requests are good and at least "
        f"{words.share(rule['attainment'])} of all requests got an image in time."
    )


def promises(run: Run) -> tables.Table:
    """The definition of 'in time' for each feature."""
    rows = [
        [name, str(facts["pool"]), words.share(facts["share"]), words.seconds(facts["slo"])]
        for name, facts in run.manifest["features"].items()
    ]
    return tables.Table(
        "An image is in time within", ["feature", "pool", "share of requests", "latency at most"], rows, labels=2
    )


def pictures(v: Verdict) -> dict[str, Picture]:
    """The figures of one run, each with a description for readers who cannot see it."""
    name, tight = v.run.manifest["playbook"], max(v.pools, key=lambda pool: pool.peak_load)
    longest = sorted(v.pools, key=lambda pool: -pool.peak_queue)[:MOST_POOLS]
    queues = ", ".join(f"{words.count(v.full(pool.peak_queue))} in {pool.name}" for pool in longest)
    c = v.counts
    words_of = {
        "demand": (
            f"Two step charts over time: signups, {words.count(v.full(v.signups['came']))} in total, and requests "
            f"with retries on top, {words.count(v.full(c['attempts']))} attempts in total.",
            "Demand. The gap between first requests and all attempts is retries.",
        ),
        "load": (
            f"One step chart per pool of load and busy GPUs over time; first requests in the peak hour of pool "
            f"{tight.name} need {words.share(tight.peak_load)} of its capacity.",
            "Load against capacity. Load is the GPU time that requests need, as they were asked for, over the GPU time "
            "of the pool. Where it is above 100 %, a queue grows or requests are refused."
            + ("" if len(v.pools) <= MOST_POOLS else f" Of {len(v.pools)} pools the {MOST_POOLS} with the most load."),
        ),
        "queue": (f"Requests waiting over time; longest queues: {queues}.", "Requests waiting in each pool's queue."),
        "outcomes": (
            f"Stacked step chart over time: {words.count(v.full(c['served']))} served, "
            f"{words.count(v.full(c['degraded']))} of them degraded, {words.count(v.full(c['refused']))} refused and "
            f"{words.count(v.full(c['abandoned']))} abandoned.",
            "Outcomes of attempts when they happened. Dashed lines mark decisions of policies, with a label where a "
            "policy acts for the first time.",
        ),
        "latency": (
            "Curves of the share of requests with an image within a time, one per tier; "
            f"{words.share(v.life.attainment)} of all requests were in time.",
            "Latency of all requests. A curve ends below 100 % if some requests never got an image.",
        ),
    }
    drawn = run_figures(v.run)
    return {
        key: pictured(figure, f"Playbook {name}. {words_of[key][0]}", words_of[key][1]) for key, figure in drawn.items()
    }


def pictured(figure: Figure, alt: str, caption: str) -> Picture:
    """A drawn figure, ready for the page."""
    return Picture(data_url(figure), alt, caption)
