"""Loading models: how long recorded loads take against the law that scenarios use, and what a cold start adds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sim.demand.recordings.trace import recording
from sim.engine.simulate import simulate
from sim.profile.profile import Profile, constant_profile
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.validation.study import Row
from tests.studies.fleet.files import SCRIPT, Fleet, Floats, Ints

WITHIN = 0.1  # the relative error that still agrees, of every figure here
# The law that scenarios are advised to use: lognormal, mean 22 s, p95 45 s (sim/scenario/parts.py).
MEDIAN, SIGMA = 19.26, 0.516
SEEDS = (1, 2, 3, 4, 5)
GPUS = 22  # the most requests that the recording has in the system, and the fleet of the shipped scenario
WARM_MODEL, POPULAR_MODEL = "M0001", "M0002"
BUSY = 5  # requests in the system, from which on that model is kept warm: a program asks for it all the time
STEPS = 30
SERVED = 17.0  # seconds of the popular model's job, warm: what jobs take besides loads where it does not matter
MEASURES: dict[str, Callable[[Floats], Any]] = {
    "mean": np.mean,
    "p50": partial(np.quantile, q=0.5),
    "p95": partial(np.quantile, q=0.95),
}


def rows_of_loads(fleet: Fleet, requests: pd.DataFrame) -> list[Row]:
    """Loads of base models, and sojourns of jobs that are alike, warm, cold and with a LoRA."""
    base, share = simulated_loads(requests)
    rows = compared("loading a base model", "load", fleet.base, base)
    recorded = len(fleet.base) / len(fleet.minute)
    note = f"the halves of the recording are not linked: {GPUS} GPUs, models as in the request half"
    rows.append(Row(rows[0].case, "share of jobs that load one", "", recorded, share, note=note))
    warm, cold, with_lora = (of_warm_model(requests, kind) for kind in ("warm", "cold", "LoRA"))
    service, lora = float(np.median(warm)), float(fleet.lora.mean())
    note = f"warm {service:.3g} s (median of {len(warm)}), and a load"
    rows += compared("a cold start", "sojourn", cold, simulated_cold(service), note)
    note = f"the same and a LoRA's mean load, {lora:.2g} s"
    rows += compared("a cold start with a LoRA", "sojourn", with_lora, simulated_cold(service + lora), note)
    return [*rows, *rows_of_sojourns(requests), *composition(fleet, requests)]


def compared(case: str, figure: str, recorded: Floats, predicted: list[Floats], note: str = "") -> list[Row]:
    """A row a measure: the mean over seeds within WITHIN of the record."""
    rows = []
    for name, measure in MEASURES.items():
        actual, found = float(measure(recorded)), float(np.mean([measure(one) for one in predicted]))
        off = f"{found / actual - 1:+.1%}"
        bounds = (1 - WITHIN) * actual, (1 + WITHIN) * actual
        rows.append(Row(case, f"{figure} {name}", "s", actual, found, *bounds, f"{off}; {note}" if note else off))
    return rows


def of_warm_model(requests: pd.DataFrame, kind: str) -> Floats:
    """Sojourns of one model's jobs of one image and STEPS steps.

    kind: 'warm', with BUSY or more in the system; 'cold', alone there; 'LoRA', alone and with a LoRA.
    """
    r = requests[alike(requests, WARM_MODEL)]
    if kind == "warm":
        return r["sojourn"][(r["before"] >= BUSY) & (r["loras"] == 0)].to_numpy(float)
    alone = (r["before"] == 0) & (r["user"] != SCRIPT)
    return r["sojourn"][alone & ((r["loras"] > 0) == (kind == "LoRA"))].to_numpy(float)


def alike(requests: pd.DataFrame, model: str) -> pd.Series:
    """Which requests were served, and are of one model, one image and STEPS steps."""
    r = requests
    return (r["status"] == "SUCCEED") & (r["model"] == model) & (r["images"] == 1) & (r["steps"] == STEPS)


def loads_law() -> dict[str, Any]:
    return {"kind": "lognormal", "median": f"{MEDIAN} s", "sigma": SIGMA}


def simulated_loads(requests: pd.DataFrame) -> tuple[list[Floats], float]:
    """Seconds of loads in a pool that is asked for the recorded models, by seed; and the share of jobs that load."""
    named = requests[requests["model"].notna()]
    place, models = pd.factorize(named["model"])
    scenario = pool_of(list(models), named["created"].to_numpy(float), place, gpus=GPUS)
    loads, share = [], 0.0
    for seed in SEEDS:
        extra = simulate(scenario, seed=seed).batches["seconds"].to_numpy(float) - SERVED
        loads.append(extra[extra > 0])
        share += len(loads[-1]) / len(extra) / len(SEEDS)
    return loads, share


def simulated_cold(service: float) -> list[Floats]:
    """Sojourns on one GPU whose model changes with every request, none waiting, by seed."""
    n = 2000
    times = 3600.0 * np.arange(n, dtype=np.float64)
    scenario = pool_of(["one", "another"], times, np.arange(n) % 2, gpus=1, service=service)
    runs = [simulate(scenario, seed=seed).requests for seed in SEEDS]
    return [(run["finished"] - run["arrived"]).to_numpy(float) for run in runs]


def pool_of(models: list[str], times: Floats, kind: Ints, *, gpus: int, service: float = SERVED) -> Scenario:
    """A pool that is asked for these models at these times (seconds); each takes `service` seconds once loaded."""
    end = float(times[-1]) + 1e5
    features = {
        name: {"share": 1 / len(models), "pool": "pods", "slo": "1 h", "spec": {"model": name}} for name in models
    }
    document: dict[str, Any] = {
        "title": "models that change",
        "horizon": f"{end!r} s",
        "control_tick": f"{end!r} s",
        "tiers": {"all": {"share": 1}},
        "features": features,
        "pools": {"pods": {"gpus": gpus, "model_load": loads_law()}},
        "demand": {"kind": "trace", "file": "requests", "features": {name: name for name in models}},
        "behaviour": {"patience": {"kind": "never"}},
        "serving": {"noise": {"kind": "none"}},
    }
    trace = recording(times, "GenTD26", kind=kind, kinds=tuple(models))
    profiles: dict[str, Profile] = {name: constant_profile(name, service) for name in models}
    return Scenario.from_dict(document, profiles=profiles, traces={"requests": trace})


def rows_of_sojourns(requests: pd.DataFrame) -> list[Row]:
    """All sojourns against those of the shipped scenario, whose profile has the recorded means and no more."""
    scenario = load("creative-studio")
    found = []
    for seed in SEEDS:
        run = simulate(scenario, seed=seed, unlimited=True).requests
        served = run[run["outcome"] == "served"]
        found.append((served["finished"] - served["arrived"]).to_numpy(float))
    return compared("the profile gentd26-studio", "sojourn", requests["sojourn"].to_numpy(float), found)


def composition(fleet: Fleet, requests: pd.DataFrame) -> list[Row]:
    """What a sojourn is made of, from the fleet's half, against the request half: shown, since nothing links them."""
    r = requests
    popular = r["sojourn"][alike(r, POPULAR_MODEL) & (r["loras"] == 0)].median()
    job = float(np.median(fleet.inference) + np.median(fleet.queue_time))
    more = r["sojourn"][r["loras"] > 0].mean() - r["sojourn"][r["loras"] == 0].mean()
    note = "those jobs are also of other models, sizes and steps; see the cold start with a LoRA"
    return [
        Row("sojourn's parts", "a warm job, p50", "s", float(popular), job, note="dispatch and inference of all jobs"),
        Row("sojourn's parts", "a LoRA, mean over all jobs", "s", float(more), float(fleet.lora.mean()), note=note),
    ]
