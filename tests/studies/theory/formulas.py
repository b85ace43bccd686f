"""Rows of the tables that need no run: our own rules and closed forms evaluated for them."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.model.gateway import charge, fresh_limiter, quota_allows, rate_allows
from sim.model.knobs import BACKOFF, BASE, BURST, CAP, FULL_JITTER, QUOTA, RATE, RETRY_KNOBS, SHED, UNLIMITED, WINDOW
from sim.model.retry import pause_before_retry
from sim.policies.adaptive_rules import Learnt, envoy, vegas
from sim.policies.clients import AdaptiveThrottle
from sim.policies.hpa import desired
from sim.policies.shedding import rejection
from sim.results.retry_rules import Rules, stable_load
from tests.studies.theory import closed_forms as theory

Found = dict[str, float]
PAUSES = 20_000


def granted(times: Iterable[float], **limits: float) -> int:
    """How many of one user's requests, at these times in seconds, a rate limit or a quota lets through."""
    knobs, limiter = np.array(UNLIMITED), fresh_limiter()
    for knob, value in limits.items():
        knobs[{"rate": RATE, "burst": BURST, "quota": QUOTA, "window": WINDOW}[knob]] = value
    number = 0
    for now in times:
        conforms = knobs[RATE] == math.inf or rate_allows(limiter, knobs[RATE], knobs[BURST], now)
        if conforms and (knobs[QUOTA] == math.inf or quota_allows(limiter, knobs[QUOTA], knobs[WINDOW], 0, now, 0.0)):
            charge(limiter, knobs, now, 0.0)
            number += 1
    return number


def greedy(p: Mapping[str, Any]) -> Found:
    """A client that asks all the time."""
    times = np.repeat(np.arange(0.0, p["t"] + 0.5, 0.5), 10)
    return {"max_accepted": float(granted(times, rate=p["rate"], burst=p["burst"]))}


def first_day(p: Mapping[str, Any]) -> Found:
    """A daily quota kept by GCRA, of a user who asks all the time."""
    times = np.repeat(np.arange(0.0, p["window_s"], 60.0), p["N"] + 1)
    number = granted(times, rate=p["N"] / p["window_s"], burst=p["N"])
    return {"worst_case_in_first_24h_GCRA_burst3": float(number)}


def throttled(p: Mapping[str, Any]) -> Found:
    """The policy in front of a service that accepts C a second of what it is asked: where its share comes to rest."""
    controls, policy = Controls(["all"], ["image"], 1.0, {"gpus": 1}), AdaptiveThrottle(k=p["K"])
    rate, capacity, share = float(p["R"]), float(p["C"]), 0.0
    for now in range(2000):
        arrivals, served = np.array([[rate]]), np.array([[min(capacity, rate * (1 - share))]])
        none = np.zeros((1, 1))
        pools = {"gpus": PoolTelemetry(1, 1, 0, 1, 0.0)}
        controls.open_all()
        policy.act(Telemetry(float(now), pools, arrivals, none, served, none, none, none, 0, 0), controls)
        share = float(controls.knobs[0, 0, SHED])
    through = rate * (1 - share)
    rejects = through - min(capacity, through)
    return {"local_reject_prob": share, "backend_arrival_rate": through, "backend_reject_rate": rejects}


def gradient(p: Mapping[str, Any]) -> Found:
    """Envoy's controller in front of a server whose latency grows as its limit over its slots."""
    learnt = Learnt(20.0, baseline=4.0, least=3, most=10_000)
    for _ in range(2000):
        learnt = envoy(learnt, 4.0 * max(1.0, learnt.limit / p["c"]), learnt.limit, buffer=p["buffer"])
    return {"limit_fixed_point": learnt.limit}


def admitted(p: Mapping[str, Any]) -> Found:
    """Envoy's admission control in front of a service that serves C a second of R: where its share comes to rest."""
    rate, capacity, share = float(p["R"]), float(p["C"]), 0.0
    for _ in range(2000):
        let_in = rate * (1 - share)
        share += 0.1 * (rejection(1e6 * let_in, 1e6 * min(let_in, capacity), threshold=p["threshold"]) - share)
    return {"refused": share}


def in_queue(p: Mapping[str, Any]) -> Found:
    """Vegas in front of a server whose latency is 1 s up to c requests, and grows in proportion beyond."""
    learnt = Learnt(float(p["start"]), baseline=1.0)
    for _ in range(200):
        learnt = vegas(learnt, max(1.0, learnt.limit / p["c"]), learnt.limit, probe=math.inf)
    return {"limit_fixed_point": learnt.limit}


def backoff(p: Mapping[str, Any]) -> Found:
    """The mean of many pauses of the rule."""
    retries = np.zeros(len(RETRY_KNOBS))
    retries[BACKOFF], retries[BASE], retries[CAP] = FULL_JITTER, p["base"], p["cap"]
    pauses = [pause_before_retry(retries, 0.0, False, False, 1, key, 0, p["n"]) for key in range(PAUSES)]
    return {"E_sleep_full_jitter": float(np.mean(pauses))}


def decaying(p: Mapping[str, Any]) -> Found:
    """When the queue of a decaying surge is longest, as a fluid in steps of half a millisecond."""
    times = np.linspace(0, 100, 200_001)
    so_far = p["lam0"] * times - p["A"] * p["tau"] * np.expm1(-times / p["tau"])
    queue = theory.fluid_queue(times, np.append(np.diff(so_far) / np.diff(times), 0), p["C"])
    return {"t_peak": float(times[queue.argmax()])}


# By system: the function that gives the figures, and the relative error that is allowed.
FORMULAS: dict[str, tuple[Callable[[Mapping[str, Any]], Found], float]] = {
    "token bucket greedy client": (greedy, 0.0),
    "daily quota GCRA period/N": (first_day, 0.0),
    "SRE client adaptive throttling": (throttled, 1e-4),  # its formula adds 1 to the requests of the window
    "Envoy adaptive concurrency": (gradient, 0.0),
    "Envoy admission control": (admitted, 1e-6),
    "Vegas": (in_queue, 0.0),
    "metastability stable load bound": (lambda p: {"C_stable": stable_load(p["C"], p["retries"])}, 1e-9),
    "metastability queue-limit threshold": (
        lambda p: {"K_star": Rules("pool", p["C"], p["S"], 1.0, 3.0, p["timeout"], 0.0).bound},
        1e-9,
    ),
    "HPA": (lambda p: {"desired_replicas": float(desired(p["current"], p["metric"], p["target"]))}, 0.0),
    "AWS backoff": (backoff, 3.5 / math.sqrt(3 * PAUSES)),  # a uniform's deviation is its mean over the root of 3
    "fluid exponentially decaying surge": (decaying, 1e-4),
}
