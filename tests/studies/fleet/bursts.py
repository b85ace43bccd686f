"""How bursty recorded requests are minute by minute beyond their trend, and how bursty simulated demand is."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.profile.profile import constant_profile
from sim.scenario.people import people_of
from sim.scenario.scenario import Scenario
from sim.validation.study import Row
from tests.studies.fleet.files import Fleet, Floats

TREND = 31  # minutes of the moving average that is taken out of counts
LARGEST_Z = 3.5
SEEDS = (1, 2, 3, 4, 5)
MINUTE, HOUR, DAY = 60.0, 60, 1440  # seconds; minutes
OFFERED = 0.05  # the burstiness that demand's settings name for this fleet (sim/demand/season.py)


def by_minute(times: Floats, ends: float) -> Floats:
    """Requests in each minute from 0 to `ends` (seconds)."""
    return np.bincount((times // MINUTE).astype(np.int64), minlength=math.ceil(ends / MINUTE)).astype(float)


def trend(counts: Floats) -> Floats:
    """The moving average of counts, over TREND minutes around each, or as many of them as there are."""
    window = np.ones(TREND)
    return np.convolve(counts, window, "same") / np.convolve(np.ones(len(counts)), window, "same")


def fano(counts: Floats, block: int) -> tuple[float, float]:
    """Variance over mean of counts around their trend, 1 for Poisson arrivals; and its standard error.

    The trend holds the count itself, which takes 1 / TREND off the variance: that is put back. The error is a jackknife
    over blocks of `block` minutes (Efron and Stein, 1981); nan where there is one block.
    """
    mean = trend(counts)
    edges = np.arange(0, len(counts), block)
    squares, means = (np.add.reduceat(values, edges) for values in ((counts - mean) ** 2, mean))
    put_back = 1 / (1 - 1 / TREND)
    whole = put_back * float(squares.sum() / means.sum())
    n = len(edges)
    without = put_back * (squares.sum() - squares) / (means.sum() - means) if n > 1 else np.array([math.nan])
    return whole, math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))


def row_of_fano(case: str, recorded: Floats, made: Sequence[Floats], block: int, *, held: bool = True) -> Row:
    """The Fano factor of recorded counts by the minute against the mean of simulated ones."""
    actual, error = fano(recorded, block)
    found = [fano(one, block)[0] for one in made]
    spread = math.hypot(error, float(np.std(found, ddof=1)) / math.sqrt(len(found)))
    off = LARGEST_Z * spread if held else math.nan
    predicted = float(np.mean(found))
    note = f"z {(predicted - actual) / spread:+.1f}"
    return Row(case, "a minute: Fano factor, trend taken out", "", actual, predicted, actual - off, actual + off, note)


def rows_of_bursts(fleet: Fleet) -> list[Row]:
    """The fleet's jobs by the minute against people who come at its trend, without bursts and with those offered."""
    recorded = np.bincount(fleet.minute, minlength=len(fleet.duty)).astype(float)
    mean, (factor, _) = trend(recorded), fano(recorded, HOUR)
    would = (factor - 1) * float(mean.sum() / (mean**2).sum())
    rows = []
    for burstiness in (0.0, OFFERED):
        scenario = following(mean, burstiness)
        made = [by_minute(people_of(scenario, seed)[0].arrives, len(mean) * MINUTE) for seed in SEEDS]
        case = f"the fleet's jobs, burstiness {burstiness:g}"
        row = row_of_fano(case, recorded, made, HOUR, held=burstiness > 0)
        rows.append(Row(**{**vars(row), "note": f"{row.note}; {would:.2g} would give the record's"}))
    return rows


def following(mean: Floats, burstiness: float) -> Scenario:
    """People who arrive at this mean rate per minute, randomised as `burstiness` says."""
    end = f"{len(mean) * MINUTE!r} s"
    document: dict[str, Any] = {
        "title": "a trend",
        "horizon": end,
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "pods", "slo": "1 h", "spec": {"model": "any"}}},
        "pools": {"pods": {"gpus": 1}},
        "demand": {
            "waves": [
                {
                    "kind": "piecewise",
                    "join": "held",
                    "points": [[f"{MINUTE * k!r} s", f"{count!r} per min"] for k, count in enumerate(mean.tolist())],
                }
            ],
            "season": {"burstiness": burstiness},
        },
    }
    return Scenario.from_dict(document, profiles={"any": constant_profile("any", 1.0)})
