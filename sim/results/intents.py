"""The request table read in two ways: one row per attempt, and one row per intent, that is per image wanted."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.model.gateway import GRANTED_BEFORE, REASONS
from sim.model.request import REFUSED, SERVED, UNFINISHED
from sim.results.log import TOKEN_SLOS
from sim.results.run import Run

Window = tuple[float, float] | None
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

LOST = "lost"


def window_of(run: Run, window: Window) -> tuple[float, float]:
    return (float(run.manifest["warm_up"]), run.horizon) if window is None else window


def every_row(run: Run) -> pd.DataFrame:
    """The request table. Raises BadInput where not every row was recorded."""
    if not run.has_rows:
        raise BadInput("not every row of this run was recorded", key="record", expected="rows")
    return run.requests


def attempts_in(run: Run, window: Window = None) -> pd.DataFrame:
    begin, end = window_of(run, window)
    rows = every_row(run)
    if begin <= 0 and end >= run.horizon:
        return rows  # all of it: a copy of millions of rows would take its time
    return rows[(rows["arrived"] >= begin) & (rows["arrived"] < end)]


def intents(run: Run, window: Window = None) -> pd.DataFrame:
    """One row per image wanted, with all the attempts to get it: what became of it, and how long it took.

    Columns: user, ask, tier, feature, wanted (first arrival), attempts, outcome (served, lost, unfinished), reason
    (why the last attempt was refused), degraded, latency (wanted to image; inf where there was none), slo, in_time,
    decided (False where the horizon came too early to tell), images. The window is on `wanted`.
    """
    rows = every_row(run)
    table = run.once("intents", lambda: found_intents(run, rows))
    begin, end = window_of(run, window)
    if begin <= 0 and end >= run.horizon:
        return table.copy(deep=False)
    return table[(table["wanted"] >= begin) & (table["wanted"] < end)].reset_index(drop=True)


def found_intents(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    first, last, ending = ends_of_intents(rows)
    outcome, asked = rows["outcome"].array[ending], rows["asked"].array[first]
    asks = {name: rows[name].array[first] for name in ("user", "ask", "tier", "feature")}
    wanted = rows["arrived"].to_numpy()[first]
    served = np.asarray(outcome == SERVED)
    pending = ~served & (np.asarray(outcome == UNFINISHED) | rows["retry"].to_numpy()[last])
    latency = rows["finished"].to_numpy()[ending]
    latency -= wanted
    latency[~served] = math.inf
    slo = looked_up(asks["feature"], {n: f["slo"] for n, f in run.manifest["features"].items()})
    return pd.DataFrame(
        {
            **asks,
            "wanted": wanted,
            "reason": rows["reason"].array[last],
            "attempts": rows["attempt"].to_numpy()[last] + 1,
            "outcome": pd.Categorical.from_codes(
                1 - served.view(np.int8) + pending.view(np.int8), pd.Index([SERVED, LOST, UNFINISHED])
            ),
            "degraded": served & (rows["level"].to_numpy()[ending] > 0),
            "latency": latency,
            "slo": slo,
            "in_time": served & (latency <= slo) & ~lagging(run, rows, wanted, ending),
            "decided": ~pending | (run.horizon - wanted > slo),
            "images": looked_up(asked, {n: s["images"] for n, s in run.manifest["specs"].items()}, missing=0),
        },
        copy=False,
    )


def token_times(rows: pd.DataFrame, some: Any = slice(None)) -> list["pd.Series[float]"]:
    """Seconds from asking to the first token, and from one token to the next, of each served attempt (some of them).

    nan where no tokens are counted, or but one; nothing for tables of a run without pools that run steps.
    """
    if "tokens" not in rows:
        return []
    rows = rows.iloc[some]
    several = rows["tokens"].where(rows["tokens"] > 1)
    return [rows["first_token"] - rows["arrived"], (rows["finished"] - rows["first_token"]) / (several - 1)]


def lagging(run: Run, rows: pd.DataFrame, since: Floats, places: Any = slice(None)) -> NDArray[np.bool_]:
    """Whether the first token of each served attempt, counted from `since`, or its time per token misses its SLO.

    places: of these rows, those that are meant; they are taken from the table only where some feature has such an SLO.
    """
    found = np.zeros(len(since), dtype=bool)
    slos = [{n: f.get(key) or math.inf for n, f in run.manifest["features"].items()} for key in TOKEN_SLOS]
    if not any(slo < math.inf for of in slos for slo in of.values()):
        return found
    rows = rows.iloc[places]
    for seconds, of in zip((rows["first_token"] - since, token_times(rows)[1]), slos, strict=True):
        found |= seconds.to_numpy() > looked_up(rows["feature"], of)  # nan is no more than anything
    return found


def ends_of_intents(rows: pd.DataFrame) -> tuple[Places, Places, Places]:
    """Where in the request table each intent's first and last attempts stand, and the one that decides it.

    That is its served attempt (an earlier one, where images are delivered late), or its last. In order of the first.
    """
    to_first = rows["first"].to_numpy()
    numbers = np.arange(len(rows), dtype=to_first.dtype)
    ending = np.empty(len(rows), dtype=np.intp)
    ending[to_first] = numbers  # of those with the same first, the last stays
    first = np.flatnonzero(to_first == numbers)
    last = ending[first]
    served = np.flatnonzero(rows["outcome"] == SERVED)
    ending[to_first[served]] = served
    return first, last, ending[first]


def looked_up(names: pd.Series | pd.Categorical, figures: Mapping[str, float], missing: float = math.nan) -> Floats:
    """A figure for each row by its name: each of a few names is looked up once, not once per row."""
    found = pd.Categorical(names)
    known = np.array([figures.get(str(name), missing) for name in found.categories] + [missing])
    return known[found.codes]


def was_granted(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which attempts were let in; some of them may have been dropped when their turn came."""
    return (rows["outcome"] != REFUSED) | rows["reason"].isin([REASONS[reason] for reason in GRANTED_BEFORE])
