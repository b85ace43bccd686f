"""The questions about clients for plain programs in SimPy: limits of each, and a throttle of their own."""

from collections.abc import Callable

from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.oracles import simpy_clients
from tests.random_scenarios import plain
from tests.studies.peers.samples import MEANS, SHORT, SLOWER, Figures, Question, in_time, longer
from tests.studies.theory.queues import observed, poisson, queue, room, steady

# Limits of one client.


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

QUESTIONS = [
    Question("limits of a client", limits, simpy_clients.limits, ALLOWED, LIMITS, SLOWER, SHORT),
    Question(
        "clients who refuse themselves",
        throttle,
        simpy_clients.throttle,
        SELF_REFUSED,
        THROTTLE,
        {"seconds": 1.1},
        SHORT,
    ),
]
