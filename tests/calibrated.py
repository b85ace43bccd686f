"""A service of which every parameter is known, and its log as a CSV of the kind that operators have."""

import dataclasses
import heapq
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.calibration.asks import Asks, asks_of_run
from sim.engine.simulate import simulate
from sim.profile.profile import constant_profile
from sim.scenario.scenario import Scenario

SERVICE = {"image": 3.0, "edit": 5.0}
TRUE = {
    "demand: people": 2 * 3600 * 0.45 + 750,
    "behaviour.requests.mean": 2.0,
    "behaviour.think.median": 30.0,
    "behaviour.think.sigma": 1.0,
    "behaviour.patience.median": 60.0,
    "behaviour.patience.sigma": 0.8,
    "behaviour.retry.probability": 0.7,
    "behaviour.retry.at_most": 3.0,
    "behaviour.retry.after_leaving": 0.4,
    "features.edit.share": 0.3,
    "service time of image": 3.0,
    "service time of edit": 5.0,
    "serving.noise.cv": 0.2,
    "pools.gpus.gpus": 4.0,
    "limit": 60.0,
}


SIZED = {
    "features.image 1024 px 40 steps.share": 0.6 * 0.3,
    "features.image 512 px 20 steps.share": 0.4 * 0.7,
    "service time of image 1024 px 40 steps": 4.0,
    "service time of image 512 px 20 steps": 0.5,
}
WORDY = {
    "chat: seconds of opening": 0.3,
    "chat: seconds of each token": 0.02,
    "features.chat.spec.steps": 200.0,
    "features.chat.length.cv": 0.95,
}


def sized_log(seed: int, path: Path, *, words: bool) -> Path:
    """Requests of different sizes at two machines, or answers of different lengths at three, as CSV with waits.

    An image takes 0.1 s for each step at 1024 px and a quarter of that at 512; an answer 0.3 s and 0.02 s a token.
    """
    rng, n, machines = np.random.default_rng(seed), 1500, 3 if words else 2
    at = np.sort(rng.uniform(0.0, 3600.0, n))
    side, steps = rng.choice([512, 1024], n, p=[0.4, 0.6]), rng.choice([20, 40], n, p=[0.7, 0.3])
    sigma = math.sqrt(math.log1p(WORDY["features.chat.length.cv"] ** 2))
    tokens = np.maximum(np.round(rng.lognormal(math.log(200.0) - sigma**2 / 2, sigma, n)), 1.0)
    mean = 0.3 + 0.02 * tokens if words else 0.1 * steps * (side / 1024) ** 2
    service = mean * rng.lognormal(-0.02, 0.2, n)
    free, began = [0.0] * machines, []
    for came, takes in zip(at.tolist(), service.tolist(), strict=True):
        start = max(came, heapq.heappop(free))
        began.append(start)
        heapq.heappush(free, start + takes)
    start = datetime(2025, 3, 31, tzinfo=UTC)
    rows: dict[str, Any] = {
        "time": [(start + timedelta(seconds=t)).isoformat() for t in at.tolist()],
        "path": "/chat" if words else "/image",
        "status": 200,
        "duration_s": np.array(began) + service - at,
        "wait_s": np.array(began) - at,
    }
    rows |= {"output_tokens": tokens} if words else {"resolution": [f"{s}x{s}" for s in side], "steps": steps}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def known_service() -> Scenario:
    """Two features on four GPUs, a surge, people who leave and ask again, and at most 60 inside."""
    features = {
        name: {"share": share, "pool": "gpus", "slo": "30 s", "spec": {"model": name}}
        for name, share in (("image", 0.7), ("edit", 0.3))
    }
    document = {
        "title": "known",
        "horizon": "2 h",
        "control_tick": "10 s",
        "tiers": {"all": {"share": 1}},
        "features": features,
        "pools": {"gpus": {"gpus": 4}},
        "demand": [
            {"kind": "steady", "rate": "0.45 per s"},
            {"kind": "spike", "people": 750, "lasting": "10 min", "from": "40 min"},
        ],
        "behaviour": {
            "requests": {"kind": "negative binomial", "mean": 2, "r": 1},
            "think": {"kind": "lognormal", "median": "30 s", "sigma": 1.0},
            "patience": {"kind": "lognormal", "median": "60 s", "sigma": 0.8},
            "retry": {
                "at_most": 3,
                "probability": 0.7,
                "after_leaving": 0.4,
                "backoff": {"kind": "lognormal", "median": "10 s", "sigma": 0.4},
            },
            "churn": 0,
            "returns": {"kind": "power law", "at_one_day": 0},
        },
        "serving": {"noise": {"kind": "lognormal", "cv": 0.2}, "notices_leaving": True},
        "playbooks": {"limited": [{"policy": {"kind": "limit", "requests": 60}}]},
    }
    profiles = {name: constant_profile(name, seconds) for name, seconds in SERVICE.items()}
    return Scenario.from_dict(document, profiles=profiles)


def log_of(scenario: Scenario, seed: int, *, waits: bool) -> Asks:
    """The requests of a run, with or without the seconds that each waited."""
    asks = asks_of_run(simulate(scenario, seed=seed))
    if not waits:
        asks = dataclasses.replace(asks, waited=np.where(asks.refused, asks.waited, np.nan))
    return asks


def written_log(asks: Asks, path: Path) -> Path:
    """A CSV as a service writes it: time, user, path, status and the seconds until the answer; no waits."""
    start = datetime(2025, 3, 31, tzinfo=UTC)
    rows = {
        "time": [(start + timedelta(seconds=t)).isoformat() for t in asks.arrived.tolist()],
        "user": asks.user,
        "path": np.array([f"/{name}" for name in asks.kinds])[asks.kind],
        "status": asks.status.astype(int),
        "duration_s": asks.lasted,
    }
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
