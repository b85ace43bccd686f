"""The metrics of the tables as measured in a run: shares, means over requests, and means over time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sim.results.run import Run
from tests.studies.theory.queues import mean_wait_in, observed, share, waiting_at, waits

Of = Callable[[Run], float]


class Measure(NamedTuple):
    """What is measured in each run for a row of the tables, and its exact value."""

    figure: str
    target: float
    of: Of
    at_most: bool = False  # the target is an upper bound


def usual(metric: str, value: float) -> Measure:
    """The measure of a metric that many systems have; a quantile is measured as the share of requests beyond it."""
    if metric.startswith(("Wq_p", "W_p")):
        of, _, percent = metric.partition("_p")
        beyond = waited_longer(value) if of == "Wq" else took_longer(value)
        return Measure(f"share beyond {metric} = {value:.4g}", 1 - int(percent) / 100, beyond, at_most=value == 0)
    return Measure(metric, value, USUAL[metric])


def waited_longer(seconds: float) -> Of:
    return lambda run: float((waits(observed(run)) > seconds).mean())


def took_longer(seconds: float) -> Of:
    return lambda run: float((sojourns(observed(run)) > seconds).mean())


def sojourns(rows: pd.DataFrame) -> pd.Series:
    """Seconds from arrival to the end of service."""
    return (rows["finished"] - rows["arrived"]).dropna()


def mean_sojourn(run: Run) -> float:
    return float(sojourns(observed(run)).mean())


def share_not_at_once(run: Run) -> float:
    """Share of the requests let in that did not start at once, those that left among them."""
    rows = observed(run)
    rows = rows[rows["outcome"] != "refused"]
    return float(1 - (rows["started"] == rows["arrived"]).mean())


def share_never_started(run: Run) -> float:
    return float(observed(run)["started"].isna().mean())


def mean_time_in_queue(run: Run) -> float:
    """Mean seconds from arrival until started or, where that never was, left."""
    rows = observed(run)
    return float((rows["started"].fillna(rows["left"]) - rows["arrived"]).mean())


def on_average(run: Run, since: pd.Series, until: pd.Series) -> float:
    """How many on average were between `since` and `until` (seconds; nan where not yet), from the warm-up on."""
    begins, ends = run.manifest["warm_up"], run.horizon
    inside = np.minimum(until.fillna(ends), ends) - np.maximum(since, begins)
    return float(inside.clip(lower=0).sum() / (ends - begins))


def queued(run: Run) -> float:
    """Requests waiting, on average over time."""
    rows = run.requests[run.requests["outcome"] != "refused"]
    return on_average(run, rows["arrived"], rows["started"].fillna(rows["left"]))


def inside(run: Run) -> float:
    """Requests waiting or being served, on average over time; where nobody leaves."""
    rows = run.requests[run.requests["outcome"] != "refused"]
    return on_average(run, rows["arrived"], rows["finished"])


def busy(run: Run) -> float:
    """GPUs at work, on average over time."""
    return on_average(run, run.batches["started"], run.batches["finished"])


def utilisation(run: Run) -> float:
    """Busy share of the GPUs' time between the warm-up and the horizon."""
    return busy(run) / float(run.manifest["pools"]["gpus"]["gpus"])


def throughput(run: Run) -> float:
    """Requests finished a second after the warm-up."""
    finished = run.requests["finished"]
    begins = run.manifest["warm_up"]
    return float(((finished > begins) & (finished <= run.horizon)).sum() / (run.horizon - begins))


def mean_batch(run: Run) -> float:
    """Mean images in a batch, after the warm-up."""
    return float(run.batches.query(f"started >= {run.manifest['warm_up']}")["size"].mean())


def wait_squared(run: Run) -> float:
    """Mean square of the wait, seconds squared."""
    return float((waits(observed(run)) ** 2).mean())


def wait_of(tier: str) -> Of:
    """A measure: the mean wait of a tier."""
    return lambda run: float(waits(observed(run).query(f"tier == '{tier}'")).mean())


def queue_in_busy_time(run: Run) -> float:
    """Share of a GPU's busy time in which somebody waits."""
    rows = run.requests
    times = np.concatenate([rows["arrived"], rows["started"].dropna()])
    steps = np.concatenate([np.ones(len(rows)), -np.ones(len(times) - len(rows))])
    return time_above(run, times, steps) / busy(run)


def time_above(run: Run, times: Any, steps: Any) -> float:
    """Share of the time from the warm-up on in which the sum of the steps so far is above 0."""
    begins, ends = run.manifest["warm_up"], run.horizon
    order = np.argsort(times, kind="stable")
    moments = np.clip(np.append(np.asarray(times)[order], ends), begins, ends)
    return float(np.diff(moments)[np.cumsum(np.asarray(steps)[order]) > 0].sum() / (ends - begins))


def empty_after(run: Run, instant: float) -> float:
    """When, after an instant, the first request arrives or starts that leaves nobody waiting."""
    rows = run.requests
    moments = np.sort(np.concatenate([rows["arrived"], rows["started"].dropna()]))
    moments = moments[moments > instant]
    return float(moments[waiting_at(run, moments) == 0][0])


# The orbit: users who were refused and will try again.


def wishes(run: Run) -> pd.DataFrame:
    """One row per person: when they first asked, started and finished; nan is not yet."""
    by = run.requests.groupby("user")
    return pd.DataFrame({"asked": by["arrived"].min(), "started": by["started"].max(), "done": by["finished"].max()})


def in_orbit(run: Run) -> float:
    """People between their first attempt and the start of service, on average over time."""
    people = wishes(run)
    return on_average(run, people["asked"], people["started"])


def time_in_orbit(run: Run) -> float:
    """Mean seconds from a person's first attempt to the start of the one that is served."""
    people, edge = wishes(run), run.manifest["warm_up"]
    people = people[(people["asked"] >= edge) & (people["asked"] < run.horizon - edge)]
    return float((people["started"] - people["asked"]).mean())


def nobody_there(run: Run) -> float:
    """Share of the time in which nobody is served or will try again."""
    people = wishes(run)
    done = people["done"].dropna()
    steps = np.concatenate([np.ones(len(people)), -np.ones(len(done))])
    return 1 - time_above(run, np.concatenate([people["asked"], done]), steps)


def asks(run: Run) -> Any:
    """The attempts, by user, of those who first asked in the observed time."""
    firsts = observed(run).query("attempt == 0")["user"]
    return run.requests[run.requests["user"].isin(firsts)].groupby("user")


def attempts_an_ask(run: Run) -> float:
    return float(asks(run).size().mean())


def share_of_asks_served(run: Run) -> float:
    rows = run.requests.assign(good=run.requests["outcome"] == "served")
    firsts = observed(run).query("attempt == 0")["user"]
    return float(rows[rows["user"].isin(firsts)].groupby("user")["good"].any().mean())


USUAL: dict[str, Of] = {
    "P_wait": share_not_at_once,
    "P_wait_accepted": share_not_at_once,
    "P_block": share("refused"),
    "P_abandon": share_never_started,
    "Wq_mean": mean_wait_in,
    "Wq_mean_accepted": mean_wait_in,
    "Wq_mean_served": mean_wait_in,
    "Wq_aggregate": mean_wait_in,
    "Wq_mean_all": mean_time_in_queue,
    "W_mean": mean_sojourn,
    "Lq_mean": queued,
    "L_mean": inside,
    "mean_busy": busy,
    "utilization": utilisation,
    "throughput": throughput,
    "mean_batch": mean_batch,
    "P_idle": lambda run: 1 - utilisation(run),
    "root_r": queue_in_busy_time,
    "E[orbit]": in_orbit,
    "E[time in orbit]": time_in_orbit,
    "P_busy": busy,
    "P(idle & orbit empty)": nobody_there,
    "L": inside,
    "in_flight": inside,
    "P_accept": share("served"),
    "accepted_rate": throughput,
    "attempts_per_request": attempts_an_ask,
    "success_prob": share_of_asks_served,
}
