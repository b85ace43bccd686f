"""A schedule: the asks of one run within a window, with their instants and specs; its rates, and those in full."""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from sim.errors import BadInput
from sim.model.request import SERVED, Spec
from sim.model.streams import COPY, draws
from sim.results.intents import every_row
from sim.results.run import Run
from sim.wording import counted, duration

FORMAT = "meltpoint-schedule/1"
COLUMNS = ("t_s", "user", "tier", "feature", "model", "side", "steps", "frames", "images")
THINNED = 2  # the draw of stream COPY that thins; the replay of a recording uses 0 and 1
LABEL = re.compile(r"(?s)(.*)/(\d+)px/(\d+)st(?:/(\d+)fr)?(?:/x(\d+))?")  # as Spec.label writes it

NOBODY_WAITS = (
    "Every request that people would make if nobody had to wait. With a slower service they ask later, ask again or "
    "stay away."
)
FIRST_ATTEMPTS = (
    "The first attempt at each wish as it was made in that run; retries are left out (--retries keeps them)."
)
ALL_ATTEMPTS = "Every attempt as it was made in that run, retries included."
WIDTHS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds over which a peak may be counted
USUAL = 10.0  # seconds to an image, where the run has served none
ENOUGH = 100  # requests in the busiest interval: chance then makes no more than a tenth of them


@dataclass(frozen=True)
class Schedule:
    """Requests in order of their instants, and where they come from.

    asks: one row per request, in columns COLUMNS: t_s is seconds from the start of the replay, side is pixels, images
        is the number per request, the rest as in a spec.
    length: seconds that the replay lasts.
    about: title, seed, window, speed, scale and versions: the facts that reproduce the schedule.
    """

    asks: pd.DataFrame
    length: float
    about: dict[str, Any]


def schedule_of(
    run: Run,
    *,
    begin: float = 0.0,
    end: float | None = None,
    speed: float = 1.0,
    times: float = 1.0,
    retries: bool = False,
) -> Schedule:
    """The asks of a run in [begin, end), seconds after its start; to its horizon if no end is given.

    speed: how many seconds of the run pass in one of the replay. times: the share of people kept, the same people for
    the same seed, and fewer of them for a smaller share. retries: later attempts too. Raises BadInput for an empty
    window, figures that make no sense, and a run without every row.
    """
    end = run.horizon if end is None else end
    check(run.horizon, begin, end, speed, times)
    table = every_row(run)
    arrived = table["arrived"].to_numpy()
    kept = (arrived >= begin) & (arrived < end)
    if not retries:
        kept &= table["attempt"].to_numpy() == 0
    if times < 1:
        kept &= draws(run.manifest["seed"], COPY, table["user"].to_numpy().astype(np.int64), THINNED) < times
    if not kept.any():
        shown = f"{begin:g} s to {end:g} s of {run.horizon:g} s"
        raise BadInput("nobody asks for anything in this window", value=shown, expected="a longer or a later window")
    asks = rows(table[kept], begin, speed)
    return Schedule(asks, (end - begin) / speed, provenance(run, asks, begin, end, speed, times, retries))


def check(horizon: float, begin: float, end: float, speed: float, times: float) -> None:
    """Refuse a window outside a run of this horizon, and a speed or a share that is none. Raises BadInput."""
    if not 0 <= begin < horizon:
        expected = f"from 0 up to the horizon, {horizon:g} s"
        raise BadInput("the window begins outside the run", key="--from", value=begin, expected=expected)
    if not begin < end <= horizon:
        expected = f"after --from ({begin:g} s), and no later than the horizon, {horizon:g} s"
        raise BadInput("the window ends outside the run", key="--until", value=end, expected=expected)
    if not 0 < speed < math.inf:
        raise BadInput("this speed cannot be used", key="--speed", value=speed, expected="a number above 0, like 10")
    if not 0 < times <= 1:
        expected = "a share of the people above 0 and up to 1, like 0.01"
        raise BadInput("this share of the people cannot be used", key="--times", value=times, expected=expected)


def rows(attempts: pd.DataFrame, begin: float, speed: float) -> pd.DataFrame:
    """Attempts as asks: instants from the beginning of the replay, and the spec that was wanted, field by field.

    The steps of a request in a pool that runs steps are its own, as its length was drawn, where it got so far.
    """
    wanted = attempts["asked"].cat
    specs = [spec_of(label) for label in wanted.categories]
    codes = wanted.codes.to_numpy()
    table = pd.DataFrame(
        {
            "t_s": (attempts["arrived"].to_numpy() - begin) / speed,
            "user": attempts["user"].to_numpy(),
            "tier": attempts["tier"].astype(str).to_numpy(),
            "feature": attempts["feature"].astype(str).to_numpy(),
            **{field: np.array([getattr(spec, field) for spec in specs])[codes] for field in Spec._fields},
        }
    )
    if "tokens" in attempts:
        drawn = attempts["tokens"].to_numpy(float)
        table["steps"] = np.where(np.isnan(drawn), table["steps"], drawn).astype(np.int64)
    return table


def spec_of(label: str) -> Spec:
    """The spec that a label stands for. Raises BadInput if it is none."""
    found = LABEL.fullmatch(label)
    if found is None:
        raise BadInput("this is not a spec", value=label, expected="like model/1024px/28st")
    model, *numbers = found.groups()
    return Spec(model, *(int(number or 1) for number in numbers))


def provenance(
    run: Run, asks: pd.DataFrame, begin: float, end: float, speed: float, times: float, retries: bool
) -> dict[str, Any]:
    """The facts that reproduce this schedule, and warnings for its reader."""
    manifest, start = run.manifest, run.start
    content = json.dumps(manifest["scenario"], sort_keys=True)
    served = run.requests[run.requests["outcome"] == SERVED]
    waited = (served["finished"] - served["arrived"]).mean()
    made = ALL_ATTEMPTS if retries else FIRST_ATTEMPTS
    return {
        "format": FORMAT,
        "title": manifest["title"],
        "note": NOBODY_WAITS if manifest["unlimited"] else made,
        "scenario_sha256": hashlib.sha256(content.encode()).hexdigest(),
        "playbook": manifest["playbook"],
        "seed": manifest["seed"],
        "from": (start + timedelta(seconds=begin)).isoformat(),
        "from_s": begin,
        "until_s": end,
        "speed": speed,
        "scale": manifest["scale"],
        "times": times,
        "retries": retries,
        "asks": len(asks),
        "users": int(asks["user"].nunique()),
        "length_s": (end - begin) / speed,
        "mean_seconds_to_image": float(waited) if len(served) else None,
        "versions": manifest["versions"],
    }


@dataclass(frozen=True)
class Rates:
    """Requests per second: of the replay (mean, and in its busiest second), and of the whole service in its own time.

    width: seconds of the interval over which the whole service's peak is counted. A slice is too thin to multiply its
    busiest second by the inverse of its share: that would multiply chance too.
    """

    mean: float
    peak: float
    peak_at: float
    full_mean: float
    full_peak: float
    width: float


def rates(schedule: Schedule) -> Rates:
    t, about = schedule.asks["t_s"].to_numpy(), schedule.about
    window = schedule.length * about["speed"]
    most, at = busiest(t, min(1.0, schedule.length))
    for width in (min(width, window) for width in WIDTHS):
        full, _ = busiest(t * about["speed"], width)
        if full * width >= ENOUGH or width == window:
            break
    share = about["scale"] * about["times"]
    mean = len(t) / schedule.length
    return Rates(mean, most, at, mean / about["speed"] / share, full / share, width)


def busiest(t: np.ndarray, width: float) -> tuple[float, float]:
    """The highest rate over whole intervals of a width, and when the first of these begins; seconds."""
    places, counts = np.unique(np.floor(t / width), return_counts=True)
    return float(counts.max() / width), float(places[counts.argmax()] * width)


def virtual_users(schedule: Schedule) -> int:
    """Twice the virtual users that are busy at the peak if an image takes as long as in the run; at least ten."""
    usual = schedule.about["mean_seconds_to_image"] or USUAL
    return max(10, math.ceil(2 * rates(schedule).peak * usual))


def sentences(schedule: Schedule) -> list[str]:
    """A schedule in words: how many requests, how fast, at what rate for the whole service, and what is left out."""
    about, r = schedule.about, rates(schedule)
    asked = f"{counted(about['asks'], 'request')} by {counted(about['users'], 'user')}"
    lines = [
        f"{asked} in {duration(schedule.length)}{compressed(about)}.",
        f"{r.mean:.4g}/s on average, and {r.peak:.4g}/s in the busiest second, which begins after "
        f"{duration(r.peak_at)}.",
    ]
    share = about["scale"] * about["times"]
    if share < 1 or about["speed"] != 1:
        lines.append(
            f"The whole service{f', of which this is a share of {share:.3g},' if share < 1 else ''} would get, in its "
            f"own time, {r.full_mean:.4g}/s on average and {r.full_peak:.4g}/s in its busiest {duration(r.width)}."
        )
    return [*lines, about["note"]]


def compressed(about: dict[str, Any]) -> str:
    """How the replay's time relates to the scenario's, if it does not simply follow it."""
    window = about["until_s"] - about["from_s"]
    return f" ({duration(window)} of the scenario at {about['speed']:g} times its speed)" if about["speed"] != 1 else ""
