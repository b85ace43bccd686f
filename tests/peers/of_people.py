"""What plain programs in SimPy are asked about people: who is refused, leaves, storms a service, meets a limit."""

from collections.abc import Callable
from typing import Any

from sim.profile import constant_profile
from sim.run import Run
from sim.scenario import Scenario
from sim.validation.measures import attempts_an_ask, share_never_started, share_of_asks_served, time_in_orbit
from sim.validation.queues import observed, poisson, queue, room, share, steady
from sim.validation.spikes import spike
from tests.oracles import simpy_clients, simpy_people
from tests.peers.samples import MEANS, SHORT, SLOWER, Figures, Question, in_time, longer
from tests.random_scenarios import plain

# Who is refused tries again.


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


# Who leaves tries again, whether or not it is noticed.


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


# What one client may ask for.


def limits(
    *,
    clients: int,
    rate: float,
    refill: float,
    depth: int,
    quota: int,
    window: float,
    at_once: int,
    gpus: int,
    seconds: float,
    horizon: float,
) -> Scenario:
    return queue(
        waves=[{**poisson(rate), "clients": clients}],
        policies=[
            {"kind": "rate limit", "rate": f"{refill} per second", "burst": depth},
            {"kind": "quota", "requests": quota, "window": f"{window} s", "runs": "calendar"},
            {"kind": "concurrency", "requests": at_once},
        ],
        gpus=gpus,
        seconds=seconds,
        lasting=horizon,
    )


def refused_by(reason: str) -> Callable[[Run], float]:
    return lambda run: float((observed(run)["reason"] == reason).mean())


LIMITS: Figures = {
    **MEANS,
    **longer(1.0),
    **{reason: refused_by(reason) for reason in ("rate limit", "quota", "concurrency")},
}


# Clients who refuse themselves.


def throttle(
    *, rate: float, gpus: int, seconds: float, places: int, k: float, window: float, horizon: float, edge: float
) -> Scenario:
    return plain(
        {"slow": constant_profile("slow", seconds)},
        pools={"gpus": {"gpus": gpus}},
        demand=[steady(rate)],
        serving={"noise": {"kind": "exponential"}},
        always=[
            {"policy": room(places)},
            {"policy": {"kind": "adaptive throttle", "k": k, "window": f"{window} s", "final": True}},
        ],
        **{**in_time(horizon, edge), "control_tick": "1 s"},
    )


THROTTLE: Figures = {
    **MEANS,
    **longer(1.0),
    **{reason: refused_by(reason) for reason in ("shed for good", "queue bound")},
}

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
ALLOWED = {
    "clients": 10,
    "rate": 0.5,
    "refill": 0.4,
    "depth": 3,
    "quota": 28,
    "window": 100.0,
    "at_once": 2,
    "gpus": 3,
    "seconds": 1.0,
    "horizon": 1500.0,
}
SELF_REFUSED = {
    "rate": 6.0,
    "gpus": 3,
    "seconds": 1.0,
    "places": 4,
    "k": 1.2,
    "window": 30.0,
    "edge": 40.0,
    "horizon": 700.0,
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


TENTH = {"seconds": 1.1}
QUESTIONS = [
    about_refusals("retries after a refusal"),
    about_refusals("retries within a budget", ratio=0.1, bucket=10),
    about_leaving("people who leave, noticed", notices=True, rate=2.6),
    about_leaving("people who leave, unnoticed", notices=False, rate=1.5),
    about_a_storm("a storm that stays", bound=150),
    about_a_storm("a storm that may pass", bound=55),
    Question("limits of a client", limits, simpy_clients.limits, ALLOWED, LIMITS, SLOWER, SHORT),
    Question(
        "clients who refuse themselves",
        throttle,
        simpy_clients.throttle,
        SELF_REFUSED,
        THROTTLE,
        TENTH,
        SHORT,
    ),
]
