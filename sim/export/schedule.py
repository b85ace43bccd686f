"""A schedule: the asks of one run within a window, each with its instant and what is asked for."""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from sim.errors import BadInput
from sim.model.request import SERVED, Spec
from sim.model.streams import COPY, draws
from sim.results.intents import every_row
from sim.results.run import Run

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
    manifest = run.manifest
    start = datetime.fromisoformat(manifest["start"])
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
