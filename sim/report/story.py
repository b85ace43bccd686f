"""The story of two launches, 2022 and 2025: each claim beside a figure of a run, and where that figure comes from."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from sim.plots.over_time import clock_over_time
from sim.plots.two_launches import launches_figure, signups_per_hour
from sim.report import review, words
from sim.report.answer import by_when
from sim.report.blocks import Block, Lines, Part, Picture
from sim.report.page import ONE_RUN, sources_part
from sim.report.pictures import pictures
from sim.report.switches import dates_of, switch_sentences
from sim.report.tables import Table
from sim.results.energy import energy_sentences
from sim.results.metrics import images_in_time, refused_by
from sim.results.money import plan_sentences
from sim.results.run import Run
from sim.results.verdict import Verdict, headline, verdict, warnings
from sim.scenario.load import load
from sim.studies.store import Cell
from sim.wording import in_gpus

TITLE = "Two launches: a million people in five days, and in an hour"
QUESTION = "What did the second launch do to the GPUs, the users, the team, the money and the planet?"
SHIFT = 8 * 3600.0  # seconds of a team's shift; assumed
HEAT = {"policy": {"kind": "thermal throttling", "pool": "fleet"}}
RUNS: dict[str, tuple[str, str, list[Any]]] = {  # scenario, playbook, and what is always in force besides
    "2022": ("launch-2022", "none", []),
    "2025": ("viral-image-launch", "none", []),
    "2025, as it was limited": ("viral-image-launch", "march-2025", []),
    "2025, with heat": ("viral-image-launch", "none", [HEAT]),
    "2025, on call": ("viral-image-launch", "on-call", []),
}
OLD, NEW, LIMITED, HOT, ON_CALL = RUNS


def cells() -> dict[str, Cell]:
    """The runs that the story is computed from, each in the scenario's small slice."""
    found = {}
    for label, (name, playbook, more) in RUNS.items():
        scenario = load(name, override="small")
        found[label] = Cell(scenario.with_(always=[*scenario.always, *more]) if more else scenario, playbook)
    return found


def story(runs: Mapping[str, Run]) -> tuple[Run, list[Part], list[Part]]:
    """The run whose time the page shows, under the story's title; its parts, and its appendix.

    runs: those of `cells`, by their labels.
    """
    v = {label: verdict(run) for label, run in runs.items()}
    pages: list[Callable[[Mapping[str, Verdict]], Part]] = [first, saturation, waiting, measures, team, company]
    risks = [f"{label}: {warning}" for label, one in v.items() for warning in warnings(one)]
    main = [*(page(v) for page in pages), review.risks(risks, [ONE_RUN, review.OTHER_RUNS])]
    facts = {**runs[NEW].manifest, "title": TITLE, "question": QUESTION}
    return replace(runs[NEW], manifest=facts), main, [sources_part([*runs.values()])]


def claims_table(title: str, claims: list[list[str]]) -> Table:
    """A row for each claim: a sentence, its figure, where that comes from, and the run that it was computed from."""
    return Table(title, ["claim", "figure", "origin", "run"], claims, labels=4)


def first(v: Mapping[str, Verdict]) -> Part:
    """The two launches on one axis, and what became of each."""
    peaks = {label: float(signups_per_hour(v[label].run)[1].max()) for label in (OLD, NEW)}
    shown = {"2022": v[OLD].run, "2025": v[NEW].run}
    served = {"2022": v[OLD].run, "2025, no limits": v[NEW].run, "2025, limited": v[LIMITED].run}
    marks = dates_of(v[LIMITED].run)
    ratio = peaks[NEW] / peaks[OLD]
    said = [
        f"The busiest hour of 2025 brings {words.count(peaks[NEW])} signups, {ratio:.0f} times that of 2022, and "
        f"without limits the service is {'alive' if v[NEW].life.alive else 'not alive'}: "
        f"{words.share(v[NEW].life.attainment)} of requests are in time, against "
        f"{words.share(v[OLD].life.attainment)} in 2022.",
        *by_when(v[NEW]),
        f"With what was done in March 2025: {headline(v[LIMITED])}",
    ]
    dates = "; ".join(f"{text} on {words.instant(v[LIMITED].run, at)}" for at, text in marks)
    picture = Picture(
        partial(launches_figure, shown, served, marks),
        f"Signups an hour of 2022 and 2025 over days since the launch, with dates: {dates}; and the share of "
        "its GPUs that each launch keeps busy.",
        f"Both launches on one axis. 2022 begins on {words.instant(v[OLD].run, 0)} UTC with {fleet(v[OLD])}, 2025 on "
        f"{words.instant(v[NEW].run, 0)} UTC with {fleet(v[NEW])}. Dashed: {dates} (UTC).",
    )
    days = v[OLD].run.horizon / 86400
    claims = [
        [
            f"A million people came in {days:g} days in 2022.",
            f"{words.count(v[OLD].full(v[OLD].signups['came']))} signups, {words.count(peaks[OLD])} in the busiest "
            "hour",
            "published (the million); the product is that of 2025",
            OLD,
        ],
        [
            "A million came within an hour in 2025.",
            f"{words.count(peaks[NEW])} signups in the busiest hour, {ratio:.0f} times the pace",
            "published (31 March); the shape of the wave is fitted to another launch",
            NEW,
        ],
    ]
    return Part("answer", "The answer", [Lines(said, "answer"), picture, claims_table("How fast people came", claims)])


def fleet(v: Verdict) -> str:
    return in_gpus(words.count(sum(pool["gpus_in_full"] for pool in v.run.manifest["pools"].values())))


def median(v: Verdict) -> str:
    """How long the median request took, in words."""
    seconds = v.latency_of_all("p50")
    return f"got its image after {words.seconds(seconds)}" if math.isfinite(seconds) else "never got an image"


def saturation(v: Mapping[str, Verdict]) -> Part:
    """GPUs that are full, and GPUs that clock down."""
    new, hot = v[NEW], v[HOT]
    (pool,) = new.pools
    kinds = sorted({facts["provenance"] for facts in new.run.manifest["profiles"].values()})
    since, share = clock_over_time(hot.run, pool.name)
    lengths = np.diff(np.append(since, hot.run.horizon))
    slow = float(lengths[share < 1].sum())
    images = [sum(images_in_time(one.run)[part] for part in ("as_asked", "degraded")) for one in (new, hot)]
    cool, warm = (words.count(one.full(number)) for one, number in zip((new, hot), images, strict=True))
    claims = [
        [
            "The GPUs saturate.",
            f"{fleet(new)} full from {words.instant(new.run, pool.first_saturated)} UTC, for "
            f"{words.seconds(pool.saturated)} in all",
            f"simulated; service times {' and '.join(kinds)}, the fleet assumed",
            NEW,
        ],
        [
            "They throttle from heat.",
            f"clock down to {words.share(float(share.min()))}, below the full one for {words.seconds(slow)}"
            if slow
            else "the clock never falls",
            "simulated; the heat of a GPU is assumed, and hotter than the one measured card (profiles/soak-h100.csv)",
            HOT,
        ],
        [
            "Heat costs images.",
            f"{warm} images in time, {cool} without heat",
            "simulated, the same people in both runs",
            HOT,
        ],
    ]
    drawn = [*pictures(new, ["load"]), *pictures(hot, ["power"])]
    blocks: list[Block] = [claims_table("GPUs that saturate and throttle", claims), *drawn]
    return Part("heat", "GPUs that saturate and throttle from heat", blocks, fresh=True)


def waiting(v: Mapping[str, Verdict]) -> Part:
    """Slower answers, and hours in which the promise is broken."""
    new = v[NEW]
    spans = review.merged(new.life.dead)
    broken = sum(until - since for since, until in spans)
    claims = [
        [
            "Answers became slower.",
            f"the median request {median(new)}; in 2022 it {median(v[OLD])}",
            "simulated; patience and retries as listed in the appendix",
            NEW,
        ],
        [
            "The service was interrupted.",
            f"too few people got an image for {words.seconds(broken)} in all"
            + (f", from {words.instant(new.run, spans[0][0])} UTC on" if spans else ""),
            "simulated; outages from 30 March are published",
            NEW,
        ],
    ]
    return Part(
        "waits", "Slower answers and interruptions", [claims_table("What users saw", claims), *pictures(new, ["waits"])]
    )


def measures(v: Mapping[str, Verdict]) -> Part:
    """What was done: tiers put off, limits, three a day, video off for new users."""
    limited = v[LIMITED]
    by_tier, by_feature = refused_by(limited.run, "tier"), refused_by(limited.run, "feature")

    def refused(table: Any, reason: str, column: str | None = None) -> str:
        some = table.reindex(index=[reason], columns=[column] if column else table.columns).fillna(0)
        return f"{words.count(limited.full(float(some.to_numpy().sum())))} attempts refused"

    claims = [
        [
            "The free tier was put off.",
            refused(by_tier, "feature gate", "free"),
            "published; the hour assumed",
            LIMITED,
        ],
        ["Rate limits came.", refused(by_tier, "rate limit"), "published; their size assumed", LIMITED],
        ["Free users got three images a day.", refused(by_tier, "quota", "free"), "published", LIMITED],
        [
            "Video was switched off for new users.",
            f"{refused(by_feature, 'feature gate', 'video')} for video",
            "published; an account is new for 30 days, assumed",
            LIMITED,
        ],
        ["What all that gave.", headline(limited), "simulated", LIMITED],
    ]
    blocks: list[Block] = [
        claims_table("What was done in March 2025", claims),
        Lines(switch_sentences(limited.run), "steps", "In order"),
        *pictures(limited, ["outcomes", "cohort"]),
    ]
    return Part("limits", "Tiers put off, limits, video off for new users", blocks, fresh=True)


def team(v: Mapping[str, Verdict]) -> Part:
    """The shifts of a team that throws the switches by hand."""
    run = v[ON_CALL].run
    steps = run.decisions[run.decisions["knob"] == "step"].drop_duplicates(["time", "policy", "new"])
    shifts = math.ceil(run.horizon / SHIFT)
    acted = sorted({int(at // SHIFT) for at in steps["time"]})
    broken = {name: len(broken_shifts(v[name])) for name in (NEW, ON_CALL)}
    claims = [
        [
            "A team worked in shifts.",
            f"{len(steps)} switches thrown or ended in {len(acted)} of {shifts} shifts of {words.seconds(SHIFT)}"
            + (f", the first in the shift from {words.instant(run, acted[0] * SHIFT)} UTC" if acted else ""),
            "simulated; thresholds, reaction times and shifts are assumed",
            ON_CALL,
        ],
        [
            f"Without them the service is broken in {'more' if broken[NEW] > broken[ON_CALL] else 'no more'} shifts.",
            f"the promise is broken in {broken[NEW]} of {shifts} shifts, and in {broken[ON_CALL]} with them",
            "simulated",
            NEW,
        ],
        ["What that gave.", headline(v[ON_CALL]), "simulated", ON_CALL],
    ]
    return Part("team", "The team's shifts", [claims_table("The team", claims)])


def broken_shifts(v: Verdict) -> set[int]:
    """The shifts with a minute in which the promise is broken."""
    return {int(at // SHIFT) for since, until in v.life.dead for at in np.arange(since, until, 60.0)}


def company(v: Mapping[str, Verdict]) -> Part:
    """Money beside the plan; energy, carbon and water."""
    limited, new = v[LIMITED], v[NEW]
    money = [] if limited.money is None else plan_sentences(limited.run, limited.money)
    claims = [
        *(["Revenue beside the plan and the loss.", said, "published (plan, loss, prices)", LIMITED] for said in money),
        *(
            [said.partition(":")[0] + ".", said.partition(": ")[2], "as named; power from the profiles", NEW]
            for said in energy_sentences(new.run)
        ),
    ]
    return Part("company", "Money, energy, carbon and water", [claims_table("The company, and the world", claims)])
