"""Offered load at its peak: the GPUs' worth of work that people ask for if nothing holds them back.

People who wait, are refused or give up ask for less afterwards, so a run that fails hides its demand. The load is
counted in a run of the same people with an unlimited fleet, which serves everybody at once. It is a mean over some time
of the GPU-seconds that come per second (erlangs), in full batches, as a pool with a queue forms them.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from sim.results.intents import Floats
from sim.results.metrics import features_of, recorded
from sim.results.run import Run
from sim.results.timeline import OFFERED_FIRST, Timeline

SPANS = (600.0, 3600.0)  # seconds over which the load is averaged


def with_offered_load(run: Run, unlimited: Run) -> Run:
    """The run with the offered load of a run of the same scenario and seed that nothing held back in its manifest."""
    return replace(run, manifest={**run.manifest, "offered_load": offered_load(unlimited)})


def offered_load(unlimited: Run) -> dict[str, list[dict[str, Any]]]:
    """The peaks of each pool's load at full scale, one for each of SPANS: see peak_of."""
    line = recorded(unlimited)
    return {pool: [peak_of(unlimited, pool, line, span) for span in SPANS] for pool in unlimited.manifest["pools"]}


def peak_of(run: Run, pool: str, line: Timeline, span: float) -> dict[str, float]:
    """The busiest `seconds` after the warm-up: since when (`at`), GPUs of `work` at full scale, `loading` of them.

    seconds: of whole bins of the timeline, at most the run.
    """
    begin = int(np.searchsorted(line.edges, run.manifest["warm_up"] - 1e-9))
    number = min(max(1, round(span / line.width)), len(line.counts) - begin)
    work = windows(line.seconds[begin:, :, features_of(run, pool), OFFERED_FIRST].sum(axis=1), number)
    loading = loads(run, pool, work)
    total = work.sum(axis=1) + loading
    top, seconds = int(np.argmax(total)), number * line.width
    return {
        "seconds": seconds,
        "at": float(line.edges[begin + top]),
        "work": float(total[top]) / seconds / run.scale,
        "loading": float(loading[top]) / seconds / run.scale,
    }


def windows(values: Floats, number: int) -> Floats:
    """Sums over each `number` bins in a row."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return np.asarray(sums[number:] - sums[:-number])


def loads(run: Run, pool: str, work: Floats) -> Floats:
    """GPU-seconds of model loads that the work of each feature brings, (windows, features), in full batches.

    A GPU loads a model for each batch of another model than its last. Batches come in the order of requests, so that
    this is one of another model with probability 1 - sum of p^2, where p is the share of a model's batches.
    """
    manifest = run.manifest
    features = [list(manifest["features"].values())[place] for place in features_of(run, pool)]
    each = np.array([fact["batches"] / fact["gpu_seconds"] for fact in features])  # batches per GPU-second of work
    models = sorted({fact["model"] for fact in features})
    of_model = np.array([[fact["model"] == model for model in models] for fact in features], dtype=float)
    batches = (work * each) @ of_model.reshape(len(features), len(models))  # a pool may serve no feature
    total = batches.sum(axis=1)
    repeats = np.divide((batches**2).sum(axis=1), total, out=np.zeros_like(total), where=total > 0)
    return np.asarray((total - repeats) * manifest["pools"][pool]["load_seconds"])
