"""The questions about people for plain programs in SimPy: refusals, impatience, storms, several images."""

from typing import Any

import pandas as pd

from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.oracles import simpy_people
from tests.random_scenarios import plain
from tests.studies.overload.spikes import spike
from tests.studies.peers.samples import MEANS, SHORT, SLOWER, Figures, Question, in_time, longer
from tests.studies.theory.measures import attempts_an_ask, share_never_started, share_of_asks_served, time_in_orbit
from tests.studies.theory.queues import observed, queue, room, share, steady

# Refused users try again.


def refused(
    *,
    places: int,
    at_most: int,
    again: float,
    pause: float,
    growth: float,
    ratio: float,
    bucket: int,
    horizon: float,
    edge: float,
    **how: Any,
) -> Scenario:
    """ratio: of the retry budget, as retries a success pays for; 0 is no budget."""
    backoff = {"kind": "exponential", "mean": f"{pause} s"}
    retry = {"at_most": at_most, "probability": again, "backoff": backoff, "growth": growth}
    budget = [{"kind": "retry budget", "ratio": ratio, "bucket": bucket}] if ratio > 0 else []
    return queue(retry=retry, policies=[room(places), *budget], lasting=horizon, warm_up=edge, **how)


RETRIES: Figures = {
    **MEANS,
    **longer(1.0),
    "refused": share("refused"),
    "attempts an ask": attempts_an_ask,
    "asks served": share_of_asks_served,
    "from asking to the start": time_in_orbit,
}


# Users who leave try again, whether or not the service notices.


def leavers(
    *,
    rate: float,
    gpus: int,
    seconds: float,
    scale: float,
    again: float,
    pause: float,
    at_most: int,
    notices: bool,
    horizon: float,
    edge: float,
) -> Scenario:
    backoff = {"kind": "exponential", "mean": f"{pause} s"}
    return plain(
        {"slow": constant_profile("slow", seconds)},
        pools={"gpus": {"gpus": gpus}},
        demand=[steady(rate)],
        behaviour={
            "patience": {"kind": "weibull", "scale": f"{scale} s", "shape": 0.7},
            "retry": {"at_most": at_most, "after_leaving": again, "backoff": backoff},
        },
        serving={"noise": {"kind": "exponential"}, "notices_leaving": notices},
        **in_time(horizon, edge),
    )


def wasted(run: Run) -> float:
    """Of the images done after the warm-up, the share whose user had left."""
    done = run.requests[run.requests["finished"] >= run.manifest["warm_up"]]
    return float((done["outcome"] == "abandoned").mean())


LEAVERS: Figures = {
    **MEANS,
    **longer(1.0),
    "never started": share_never_started,
    "left": share("abandoned"),
    "wasted": wasted,
    "attempts an ask": attempts_an_ask,
    "asks served": share_of_asks_served,
}


def storm(*, patience: float, seconds: float, **how: Any) -> Scenario:
    return spike(timeout=f"{patience} s", seconds=seconds, noise="exponential", record="rows", **how)


def in_window(begins: float, ends: float) -> Figures:
    """What came and what was done in a window."""

    def came(run: Run) -> Any:
        return run.requests[(run.requests["arrived"] >= begins) & (run.requests["arrived"] < ends)]

    def done(run: Run) -> Any:
        return run.requests[(run.requests["finished"] >= begins) & (run.requests["finished"] < ends)]

    lasting = ends - begins
    return {
        "asks a second": lambda run: float((came(run)["attempt"] == 0).sum() / lasting),
        "attempts a second": lambda run: len(came(run)) / lasting,
        "images in time a second": lambda run: float((done(run)["outcome"] == "served").sum() / lasting),
        "wasted": lambda run: float((done(run)["outcome"] != "served").mean()),
        "refused": lambda run: float((came(run)["outcome"] == "refused").mean()),
    }


STORM = {"base": 5.0, "peak": 15.0, "quiet": 60.0, "lasting": 60.0, "after": 200.0, "gpus": 1, "seconds": 0.1}
STORM_WINDOWS: Figures = {
    f"{figure}, {name}": of
    for name, (begins, ends) in {"before": (0.0, 60.0), "spike": (60.0, 120.0), "end": (220.0, 320.0)}.items()
    for figure, of in in_window(begins, ends).items()
}


# Users who are served come back for more.


def visits(
    *,
    rate: float,
    gpus: int,
    seconds: float,
    patience: float,
    think: float,
    images: float,
    r: float,
    sigma: float,
    churn: float,
    horizon: float,
    edge: float,
) -> Scenario:
    return plain(
        {"slow": constant_profile("slow", seconds)},
        pools={"gpus": {"gpus": gpus}},
        demand=[steady(rate)],
        behaviour={
            "requests": {"kind": "negative binomial", "mean": images, "r": r},
            "activity": {"sigma": sigma},
            "think": {"kind": "exponential", "mean": f"{think} s"},
            "patience": {"kind": "exponential", "mean": f"{patience} s"},
            "churn": churn,
        },
        serving={"noise": {"kind": "exponential"}, "notices_leaving": True},
        **in_time(horizon, edge),
    )


def asks_a_second(run: Run) -> float:
    return len(observed(run)) / (run.horizon - 2 * run.manifest["warm_up"])


def asks_of_each(run: Run) -> "pd.Series[float]":
    return run.requests.groupby("user").size().astype(float)


VISITS: Figures = {
    **MEANS,
    **longer(1.0),
    "never started": share_never_started,
    "left": share("abandoned"),
    "asks a second": asks_a_second,
    "asks a person": lambda run: float(asks_of_each(run).mean()),
    "asked once": lambda run: float((asks_of_each(run) == 1).mean()),
}
VISITING = {"rate": 0.8, "gpus": 3, "seconds": 1.0, "patience": 5.0, "think": 4.0, "images": 4.0, "r": 0.6}
DIFFERENT = {"sigma": 0.86, "churn": 0.3, "edge": 100.0, "horizon": 2000.0}

AGAIN = {
    "rate": 3.3,
    "gpus": 3,
    "seconds": 1.0,
    "places": 4,
    "at_most": 3,
    "again": 0.8,
    "pause": 2.0,
    "growth": 2.0,
    "edge": 60.0,
    "horizon": 1500.0,
}
LEAVING = {
    "gpus": 3,
    "seconds": 1.0,
    "scale": 4.0,
    "again": 0.5,
    "pause": 3.0,
    "at_most": 3,
    "edge": 60.0,
    "horizon": 1500.0,
}


def about_refusals(name: str, **more: float) -> Question:
    settings = {**AGAIN, "ratio": 0.0, "bucket": 0, **more}
    return Question(name, refused, simpy_people.refused, settings, RETRIES, SLOWER, SHORT)


def about_leaving(name: str, *, notices: bool, rate: float) -> Question:
    settings = {**LEAVING, "notices": notices, "rate": rate}
    return Question(name, leavers, simpy_people.leavers, settings, LEAVERS, SLOWER, SHORT)


def about_a_storm(name: str, *, bound: int) -> Question:
    settings = {**STORM, "patience": 5.0, "retries": 5, "bound": bound}
    return Question(name, storm, simpy_people.storm, settings, STORM_WINDOWS, {"seconds": 0.11}, {"after": 40.0})


QUESTIONS = [
    about_refusals("retries after a refusal"),
    about_refusals("retries within a budget", ratio=0.1, bucket=10),
    about_leaving("people who leave, noticed", notices=True, rate=2.6),
    about_leaving("people who leave, unnoticed", notices=False, rate=1.5),
    about_a_storm("a storm that stays", bound=150),
    about_a_storm("a storm that may pass", bound=55),
    Question("people who want several", visits, simpy_people.visits, {**VISITING, **DIFFERENT}, VISITS, SLOWER, SHORT),
]
