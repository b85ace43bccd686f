"""The questions for Ciw: impatience, priorities, bounded queues, and a surge."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.oracles import ciw_models
from tests.oracles.formulas import impatience, two_classes, until, weibull
from tests.studies.peers.samples import MEANS, SHORT, SLOWER, Figures, Question, longer
from tests.studies.theory.closed_forms import bounded_queue, erlang_c
from tests.studies.theory.measures import queued, share_never_started, utilisation, wait_of
from tests.studies.theory.queues import observed, queue, room, share, steady, waits

PATIENCE: dict[str, Callable[[float], dict[str, Any]]] = {
    "exponential": lambda mean: {"kind": "exponential", "mean": f"{mean} s"},
    "constant": lambda value: {"kind": "constant", "value": f"{value} s"},
    "weibull": lambda scale: {"kind": "weibull", "scale": f"{scale} s", "shape": 0.7},
}


def noise(cv: float) -> dict[str, Any]:
    return {"kind": "exponential"} if cv == 1 else {"kind": "lognormal", "cv": cv}


def impatient(*, law: str, patience: float, horizon: float, edge: float, **how: Any) -> Scenario:
    return queue(patience=PATIENCE[law](patience), lasting=horizon, warm_up=edge, **how)


def priorities(*, rates: tuple[float, float], cv: float, horizon: float, edge: float, **how: Any) -> Scenario:
    names = ("first", "second")
    return queue(
        tiers={name: rate / sum(rates) for name, rate in zip(names, rates, strict=True)},
        rate=sum(rates),
        noise=noise(cv),
        policies=[{"kind": "priority", "first": list(names)}],
        lasting=horizon,
        warm_up=edge,
        **how,
    )


def bounded(*, cv: float, places: int, horizon: float, edge: float, **how: Any) -> Scenario:
    return queue(noise=noise(cv), policies=[room(places)], lasting=horizon, warm_up=edge, **how)


def surge(
    *, base: float, peak: float, begins: float, ends: float, until: float, patience: float, **how: Any
) -> Scenario:
    """As one wave on top of another."""
    lasting = ends - begins
    spike = {"kind": "spike", "people": (peak - base) * lasting, "lasting": f"{lasting} s", "from": f"{begins} s"}
    return queue(waves=[steady(base), spike], patience=PATIENCE["exponential"](patience), lasting=until, **how)


QUEUE: Figures = {**MEANS, "never started": share_never_started}


def class_waited_longer(tier: str) -> Callable[[Run], float]:
    return lambda run: float((waits(observed(run).query(f"tier == '{tier}'")) > 1.0).mean())


BY_CLASS: Figures = {
    **{f"mean wait, {tier}": wait_of(tier) for tier in ("first", "second")},
    **{f"waited longer, {tier}": class_waited_longer(tier) for tier in ("first", "second")},
    "queued": queued,
    "utilisation": utilisation,
}


def in_window(since: float, to: float, gpus: int) -> Figures:
    """Of those who came in a window, and of what was in the system during it and at its end."""

    def came(run: Run) -> pd.DataFrame:
        return run.requests[(run.requests["arrived"] >= since) & (run.requests["arrived"] < to)]

    def over(run: Run) -> "pd.Series[float]":
        return run.requests["started"].fillna(run.requests["left"])

    def average(begun: "pd.Series[float]", ended: "pd.Series[float]") -> float:
        inside = ended.fillna(to).clip(upper=to) - begun.clip(lower=since)
        return float(inside.clip(lower=0).sum() / (to - since))

    return {
        "arrivals": lambda run: float(len(came(run))),
        "mean wait": lambda run: float(waits(came(run)).mean()),
        "never started": lambda run: float(came(run)["started"].isna().mean()),
        "queued": lambda run: average(run.requests["arrived"], over(run)),
        "utilisation": lambda run: average(run.batches["started"], run.batches["finished"]) / gpus,
        "queued at the end": lambda run: float(((run.requests["arrived"] <= to) & ~(over(run) <= to)).sum()),
    }


SURGE = {"base": 9.0, "peak": 36.0, "begins": 30.0, "ends": 50.0, "until": 110.0, "gpus": 15, "patience": 4.0}
INTERVALS = {"before": (0.0, 30.0), "surge": (30.0, 50.0), "after": (50.0, 80.0)}
BY_INTERVAL: Figures = {
    f"{figure}, {name}": of
    for name, (since, to) in INTERVALS.items()
    for figure, of in in_window(since, to, 15).items()
}
CROWDED = {"rate": 6.0, "gpus": 5, "seconds": 1.0, "edge": 20.0, "horizon": 600.0}
TWO = {"rates": (1.2, 1.2), "gpus": 3, "seconds": 1.0, "edge": 80.0, "horizon": 2000.0}
FULL = {"rate": 3.3, "gpus": 3, "seconds": 1.0, "places": 5, "edge": 40.0, "horizon": 1200.0}


STAYS = {"exponential": weibull(2.0, 1.0), "constant": until(1.0), "weibull": weibull(1.5, 0.7)}


def about_patience(law: str, patience: float) -> Question:
    settings = {**CROWDED, "law": law, "patience": patience}
    figures = {**QUEUE, **longer(0.5)}
    exact = partial(impatience, 6.0, 1.0, 5, STAYS[law], beyond=0.5)
    return Question(f"patience: {law}", impatient, ciw_models.impatient, settings, figures, SLOWER, SHORT, exact)


def about_priorities(cv: float) -> Question:
    name = f"two classes, service times with cv {cv}"
    exact = partial(two_classes, (1.2, 1.2), 1.0, 3, erlang_c(2.4, 3)) if cv == 1 else dict
    return Question(name, priorities, ciw_models.priorities, {**TWO, "cv": cv}, BY_CLASS, SLOWER, SHORT, exact)


def about_room(cv: float) -> Question:
    figures = {**QUEUE, **longer(1.0), "refused": share("refused")}
    name, exact = f"room for five, service times with cv {cv}", birth_and_death if cv == 1 else dict
    return Question(name, bounded, ciw_models.bounded, {**FULL, "cv": cv}, figures, SLOWER, SHORT, exact)


def birth_and_death() -> dict[str, float]:
    exact = bounded_queue(3.3, 1.0, 3, 5)
    return {
        "refused": exact.refused,
        "mean wait": exact.wait,
        "queued": exact.queue,
        "utilisation": exact.throughput / 3,
    }


IMPATIENT = {
    law: about_patience(law, value) for law, value in {"exponential": 2.0, "constant": 1.0, "weibull": 1.5}.items()
}
CLASSES = {cv: about_priorities(cv) for cv in (1.0, 1.5)}
ROOMS = {cv: about_room(cv) for cv in (1.0, 1.5)}
QUESTIONS = [
    *IMPATIENT.values(),
    *CLASSES.values(),
    *ROOMS.values(),
    Question("surge", surge, ciw_models.surge, {**SURGE, "seconds": 1.0}, BY_INTERVAL, {"seconds": 1.1}),
]
