"""Habits of recorded and of simulated people: requests, pauses, sessions, returns, and asking again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.engine.simulate import simulate
from sim.model.streams import CHECK, draws
from sim.policies.shedding import Shed
from sim.results.run import Run
from sim.scenario.load import load
from sim.studies.demand_comparison import Arrivals, compared, generated_arrivals, quietest, sorted_arrivals
from sim.validation.study import Row
from tests.studies.fleet.bursts import DAY, LARGEST_Z, by_minute, row_of_fano
from tests.studies.fleet.files import SCRIPT, Floats, Ints

SEEDS = (1, 2, 3, 4, 5)
SOON = 60.0  # seconds after an answer within which one asks again
RESAMPLES, RESAMPLED = 100, 10_000  # of users, and the first place of these among the draws
FAILURES = 0.015  # the share of recorded requests that failed
POPULATIONS: Mapping[str, dict[str, Any]] = {
    "fitted people (creative-studio)": {},
    # Nobody leaves and no answer is late, so that only default behaviour is compared.
    "default people": {"behaviour": {"patience": {"kind": "never"}, "churn": 0}},
}
# The figures that the defaults claim to have from this recording; lasting differences between people are a scenario's.
CLAIMED = (
    "first day: mean requests",
    "first day: share with 1",
    "first day: share above 3",
    *(f"first day: cap {k} leaves" for k in (1, 2, 3, 5, 6, 10, 20)),
    "back on day 1",
    "back on day 7",
    "session: requests, mean",
    "session: requests, p50",
    "session: requests, p90",
    "think time: median (s)",
    "think time: sigma",
    "again within a minute of a failure",
    "again within a minute of an image",
)


@dataclass(frozen=True)
class Answers:
    """Requests and how each ended, sorted by user and then time: user int64 (n,), times and ended in seconds."""

    user: Ints
    times: Floats
    ended: Floats
    failed: NDArray[np.bool_]
    served: NDArray[np.bool_]


def rows_of_habits(requests: pd.DataFrame) -> list[Row]:
    """Every population of POPULATIONS against the recorded people, the script left out."""
    people = requests[requests["user"] != SCRIPT]
    length = float(requests["created"].max()) + 1.0
    real, answers = recorded_people(people, length), recorded_answers(people)
    rows = []
    for name, sets in POPULATIONS.items():
        scenario = load("creative-studio", sets=sets)
        runs = [simulate(scenario, [Shed(share=FAILURES)], seed=seed, unlimited=True) for seed in SEEDS]
        table = compared(real, [generated_arrivals(run) for run in runs], resamples=RESAMPLES).set_index("statistic")
        table = table[["recorded", "error", "generated", "deviation"]]
        table = pd.concat([table, asks_again(answers, runs)])
        rows += [row_of(name, str(what), one, held=not sets or what in CLAIMED) for what, one in table.iterrows()]
        made = [by_minute(generated_arrivals(run).times, run.horizon) for run in runs]
        rows.append(row_of_fano(name, by_minute(real.times, real.ends), made, DAY, held=not sets))
    return rows


def row_of(case: str, figure: str, one: "pd.Series[float]", *, held: bool) -> Row:
    """One statistic: the mean over seeds within LARGEST_Z standard errors of the record and of itself."""
    error = math.hypot(one["error"], one["deviation"] / math.sqrt(len(SEEDS)))
    recorded, found = float(one["recorded"]), float(one["generated"])
    off = LARGEST_Z * error if held else math.nan
    note = f"z {(found - recorded) / error:+.1f}" if error > 0 else ""
    return Row(case, figure, "", recorded, found, recorded - off, recorded + off, note)


def recorded_people(people: pd.DataFrame, length: float) -> Arrivals:
    """The recorded requests, and until when they are covered (seconds)."""
    times = people["created"].to_numpy(float)
    return sorted_arrivals(times, numbered(people), people["ended"].to_numpy(float), quietest(times), length)


def numbered(people: pd.DataFrame) -> Ints:
    return np.asarray(pd.factorize(people["user"])[0], dtype=np.int64)


def recorded_answers(people: pd.DataFrame) -> Answers:
    status, user, times = people["status"].to_numpy(), numbered(people), people["created"].to_numpy(float)
    order = np.lexsort((times, user))
    ended = people["ended"].to_numpy(float)
    return Answers(user[order], times[order], ended[order], (status == "FAILED")[order], (status == "SUCCEED")[order])


def simulated_answers(run: Run) -> Answers:
    """Every attempt; one that is refused ends as it comes."""
    rows = run.requests.sort_values(["user", "arrived"], kind="stable")
    times, refused = rows["arrived"].to_numpy(float), (rows["outcome"] == "refused").to_numpy()
    served = (rows["outcome"] == "served").to_numpy()
    ended = np.where(refused, times, rows["finished"].to_numpy(float))
    return Answers(rows["user"].to_numpy(np.int64), times, ended, refused, served)


def asks_again(recorded: Answers, runs: Sequence[Run]) -> pd.DataFrame:
    """The share of failures, and of images, after which the same user asks again within SOON seconds of the answer."""
    made = [counts_of_again(simulated_answers(run)) for run in runs]
    real = counts_of_again(recorded)
    rows = {}
    for place, what in enumerate(("a failure", "an image")):
        after, again = real[2 * place], real[2 * place + 1]
        found = np.array([one[2 * place + 1].sum() / one[2 * place].sum() for one in made])
        rows[f"again within a minute of {what}"] = {
            "recorded": again.sum() / after.sum(),
            "error": error_over_users(after, again),
            "generated": found.mean(),
            "deviation": found.std(ddof=1),
        }
    return pd.DataFrame(rows).T


def counts_of_again(a: Answers) -> tuple[Floats, Floats, Floats, Floats]:
    """By user: failures, those after which they ask again soon, images, and the same."""
    following = np.append(np.where(a.user[1:] == a.user[:-1], a.times[1:], math.inf), math.inf)
    soon = following - a.ended < SOON
    users = int(a.user.max()) + 1
    marks = (a.failed, a.failed & soon, a.served, a.served & soon)
    first, second, third, fourth = (np.bincount(a.user, mark, users).astype(float) for mark in marks)
    return first, second, third, fourth


def error_over_users(of: Floats, hits: Floats) -> float:
    """The standard error of sum(hits) / sum(of) over users drawn again."""
    users, shares = np.arange(len(of)), []
    for number in range(RESAMPLES):
        drawn = (draws(1, CHECK, users, RESAMPLED + number) * len(of)).astype(np.int64)
        total = of[drawn].sum()
        shares.append(hits[drawn].sum() / total if total else math.nan)
    return float(np.nanstd(shares, ddof=1))
