"""The figures of a report, each with a description for readers who cannot see it."""

from collections.abc import Collection
from functools import partial

from sim.plots import FIGURES, MOST_POOLS, changes, comparison_figure, run_figure
from sim.plots.several import MEASURES
from sim.report import words
from sim.report.blocks import Picture
from sim.results.cohort import WANTED, cohort
from sim.results.verdict import Verdict
from sim.studies.compare import Comparison

FIRST = ("people_share", "p95_latency", "degraded_share")  # measures shown beside the objective, before the appendix


def pictures(v: Verdict, only: Collection[str]) -> list[Picture]:
    """Some of the figures of one run, in their order, each with its description and its caption."""
    about = of_demand(v) | of_service(v) | of_fleet(v) | (of_cohort(v) if "cohort" in only else {})
    alt = f"Playbook {v.run.manifest['playbook']}. "
    return [
        Picture(partial(run_figure, v.run, key), alt + about[key][0], about[key][1]) for key in FIGURES if key in only
    ]


def of_demand(v: Verdict) -> dict[str, tuple[str, str]]:
    came, attempts = words.count(v.full(v.signups["came"])), words.count(v.full(v.counts["attempts"]))
    return {
        "demand": (
            f"Two step charts over time: signups, {came} in total, and requests with retries on top, {attempts} "
            "attempts in total.",
            "Demand. The gap between first requests and all attempts is retries.",
        )
    }


def of_service(v: Verdict) -> dict[str, tuple[str, str]]:
    c = {name: words.count(v.full(count)) for name, count in v.counts.items()}
    return {
        "outcomes": (
            f"Stacked step chart over time: {c['served']} served, {c['degraded']} of them degraded, {c['refused']} "
            f"refused and {c['abandoned']} abandoned.",
            "Outcomes of attempts when they happened. Dashed lines mark decisions of policies, with a label where a "
            "policy acts for the first time.",
        ),
        "latency": (
            "Curves of the share of requests with an image within a time, one per tier; "
            f"{words.share(v.life.attainment)} of all requests were in time.",
            "Latency of all requests. A curve ends below 100 % if some requests never got an image.",
        ),
        "waits": (
            "Two step charts over time, of the wait of served requests and of the latency of all requests; median and "
            f"p95 for each tier. Over the whole run {words.share(v.life.attainment)} of requests were in time.",
            "Solid: median; dashed: p95. 'Never' means that half (or 5 %) of the requests of that time got no image.",
        ),
    }


def of_cohort(v: Verdict) -> dict[str, tuple[str, str]]:
    parts = cohort(v.run)
    said = ", ".join(f"{words.count(count)} {part}" for part, count in parts.items() if part != WANTED)
    return {
        "cohort": (
            f"Waterfall chart: of {words.count(parts[WANTED])} requests wanted, {said}.",
            "Each request once, retries included, by what became of it in the end. 'Left' gave up waiting, 'refused' "
            "gave up after a refusal.",
        )
    }


def of_fleet(v: Verdict) -> dict[str, tuple[str, str]]:
    tight = max(v.pools, key=lambda pool: pool.peak_load)
    longest = sorted(v.pools, key=lambda pool: -pool.peak_queue)[:MOST_POOLS]
    queues = ", ".join(f"{words.count(v.full(pool.peak_queue))} in {pool.name}" for pool in longest)
    sizes = ", ".join(
        f"{words.count(v.full(pool.fleet[0]))} to {words.count(v.full(pool.fleet[1]))} in {pool.name}"
        for pool in v.pools[:MOST_POOLS]
    )
    most = "" if len(v.pools) <= MOST_POOLS else f" Of {len(v.pools)} pools the {MOST_POOLS} with the most load."
    return {
        "load": (
            f"One step chart per pool of load and busy GPUs over time; first requests in the peak hour of pool "
            f"{tight.name} need {words.share(tight.peak_load)} of its capacity.",
            "Load against capacity. Load is the GPU time that requests need, as they were asked for, over the GPU time "
            f"of the pool. Where it is above 100 %, a queue grows or requests are refused.{most}",
        ),
        "queue": (f"Requests waiting over time; longest queues: {queues}.", "Requests waiting in each pool's queue."),
        "fleet": (
            f"One step chart per pool of GPUs in service over time, {sizes}; with GPUs on order "
            "and the work of first requests.",
            "GPUs in service, and those that are ordered, failed or elsewhere. First requests: their work in GPUs."
            f"{most}",
        ),
        "power": (
            f"Step chart of power over time; {words.known(v.full(v.energy['kwh']) / 1000, ' MWh')} at the meter.",
            "Mean power of each hour; at the meter: with cooling and losses (the PUE). Below it, where they change: "
            "the clock of the GPUs (heat, power caps) and the time they spend on loading models.",
        ),
    }


def fleet_changes(v: Verdict) -> bool:
    """Whether the GPUs of some pool change in the run, so that a figure of them says something."""
    return any(changes(v.run, pool) for pool in v.run.manifest["pools"])


def compared(comparison: Comparison, *, every: bool) -> Picture:
    """Playbooks side by side: by the objective and a few measures, or by all of them."""
    measures = [*MEASURES] if every else [m for m in (comparison.objective.figure, *FIRST) if m in MEASURES]
    measures = list(dict.fromkeys(measures))[: None if every else 3]
    alt = f"Dots with intervals, one row per playbook, for several measures; {comparison.ranking[0]} is ranked first."
    caption = "Playbooks side by side. A dot is the mean, a bar its 95 % interval, the dotted line the baseline."
    draw = partial(comparison_figure, comparison.differences, baseline=comparison.baseline, measures=measures)
    return Picture(draw, alt, caption)
