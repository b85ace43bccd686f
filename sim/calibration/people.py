"""Patience, retries and sessions of the people in a log."""

import numpy as np
from numpy.typing import NDArray

from sim.calibration.asks import Asks
from sim.calibration.estimates import Findings
from sim.calibration.laws import Floats, Mask, fitted
from sim.demand.recordings.attempts import FAILED, REFUSED, Sessions, sessions
from sim.studies.intervals import proportion

FEW = 20  # attempts, below which their share is no estimate
SESSION, DAY = 1800.0, 86400.0  # s: a longer pause ends a session
MOST_ATTEMPTS = 20


def patience(asks: Asks, found: Findings) -> None:
    """The law of the time until people leave; whoever was served, or given up by the server, is known to wait longer.

    These are competing exits, each of which hides the others (Kalbfleisch and Prentice, 2002, chapter 8). The law holds
    if an exit does not depend on the patience that it hides.
    """
    key = "behaviour.patience"
    rows = (asks.left | asks.served | asks.thrown) & np.isfinite(asks.lasted) & (asks.lasted > 0)
    left = asks.left[rows]
    if not left.any():
        longest = f" (the longest took {np.nanmax(asks.lasted[rows]):.4g} s)" if rows.any() else ""
        found.unknown[key] = f"nobody is seen to leave{longest}"
        return
    law = fitted(asks.lasted[rows], left)
    if law is None:
        found.unknown[key] = f"only {left.sum()} people are seen to leave"
        return
    found.law(key, law, "maximum likelihood; served and timed out as censored")
    longest = float(asks.lasted[rows].max())
    found.notes.append(f"patience beyond {longest:.4g} s, the longest seen, is the law's and not the data's")


def wishes_of(asks: Asks) -> Sessions | None:
    """Attempts joined into wishes; None where nobody is named, or nobody asks again."""
    if not asks.named or not np.isin(asks.status, (*REFUSED, *FAILED)).any():
        return None
    return sessions(asks.arrived, asks.lasted, asks.user, asks.kind, asks.status)


def retries(asks: Asks, wishes: Sessions | None, found: Findings) -> None:
    """The chance and the pause of another attempt, after a refusal and after leaving, and the most attempts."""
    keys = {"refused": "behaviour.retry.probability", "left": "behaviour.retry.after_leaving"}
    some = {"refused": asks.refused, "left": asks.left | asks.thrown}
    if wishes is None:
        why = "nobody is seen to ask again" if asks.named else "users are not named, so nobody is seen to ask again"
        if not (asks.refused | asks.left).any():
            why = "nobody was refused, and nobody left"
        found.unknown["behaviour.retry"] = why
        if asks.named and (asks.refused | asks.left).sum() >= FEW:
            found.keys["behaviour.retry.at_most"] = 0
            del found.unknown["behaviour.retry"]
        return
    number, again, pause = attempts(asks, wishes)
    settled = asks.arrived + np.nan_to_num(asks.lasted) < asks.length - wishes.window
    over = [k for k in range(1, MOST_ATTEMPTS) if ((number == k) & settled & (some["refused"] | some["left"])).any()]
    failed = settled & (some["refused"] | some["left"])
    most = next((k for k in over if (number[failed] == k).sum() >= FEW and not again[failed & (number == k)].any()), 0)
    if most:
        found.keys["behaviour.retry.at_most"] = most - 1
        n = int((failed & (number == most)).sum())
        found.add("behaviour.retry.at_most", (most - 1, most - 1, most - 1), "", n, "nobody asks again after so many")
    else:
        largest = max(int(number.max()), 3)
        found.keys["behaviour.retry.at_most"] = largest
        found.notes.append(f"retries have no end that is seen: at most {largest}, as the log has")
    for what, key in keys.items():
        rows = settled & some[what] & ((number < most) if most else True)
        if rows.sum() < FEW:
            found.unknown[key] = f"only {int(rows.sum())} attempts could show it"
            continue
        hits, n = int(again[rows].sum()), int(rows.sum())
        found.keys[key] = round(hits / n, 4)
        found.add(
            key, (hits / n, *proportion(hits, n)), "", n, f"share asked again within {wishes.window:.3g} s, Wilson"
        )
    taken = again & (some["refused"] | some["left"]) & np.isfinite(pause) & (pause > 0)
    backoff(pause[taken], number[taken], found)


def attempts(asks: Asks, wishes: Sessions) -> tuple[NDArray[np.int64], Mask, Floats]:
    """The number of each attempt in its wish (from 1), whether another followed, and the pause until it."""
    order = np.lexsort((asks.arrived, asks.kind, asks.user))
    first = wishes.first[order]
    begins = np.flatnonzero(first)
    number = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order)))) + 1
    followed = np.append(~first[1:], False)
    ends = (asks.arrived + np.nan_to_num(asks.lasted))[order]
    gap = np.append(asks.arrived[order][1:] - ends[:-1], np.nan)
    out = np.empty(len(order), dtype=np.int64), np.zeros(len(order), dtype=bool), np.full(len(order), np.nan)
    for target, values in zip(out, (number, followed, np.where(followed, gap, np.nan)), strict=True):
        target[order] = values
    return out


def backoff(pauses: Floats, number: NDArray[np.int64], found: Findings) -> None:
    """The law of the first pause, and by how much later ones are longer: the ratio of the medians of the logs."""
    law = fitted(
        pauses[number == 1], np.ones(int((number == 1).sum()), dtype=bool), ("exponential", "lognormal", "uniform")
    )
    if law is None:
        found.unknown["behaviour.retry.backoff"] = f"only {int((number == 1).sum())} pauses were seen"
        return
    found.law("behaviour.retry.backoff", law, "maximum likelihood of the first pauses")
    one, two = np.log(pauses[number == 1]), np.log(pauses[number == 2])
    if len(two) < FEW:
        found.unknown["behaviour.retry.growth"] = f"only {len(two)} second pauses were seen"
        return
    growth = float(np.exp(two.mean() - one.mean()))
    half = 1.96 * float(np.sqrt(one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two)))
    ends = (growth * np.exp(-half), growth * np.exp(half))
    if ends[0] > 1:
        found.keys["behaviour.retry.growth"] = round(growth, 3)
    found.add(
        "behaviour.retry.growth", (growth, *map(float, ends)), "", len(two), "second pause over first, mean of logs"
    )


def visits(asks: Asks, first: Mask, found: Findings) -> Mask:
    """Which first attempts begin a visit (a user's day); and how many wishes a visit has, with what pauses.

    Where users are not named each wish is a visit. People who come back on a later day are counted as new visits.
    """
    found.keys["behaviour.returns"] = {"kind": "power law", "at_one_day": 0}
    rows = np.flatnonzero(first)
    if not asks.named:
        found.keys["behaviour.requests"] = {"kind": "fixed", "requests": 1}
        found.unknown["behaviour.requests"] = "users are not named: each request is a person of its own"
        return first
    user, at = asks.user[rows], asks.arrived[rows]
    order = np.lexsort((at, user))
    user, at = user[order], at[order]
    ends = (asks.arrived + np.nan_to_num(asks.lasted))[rows][order]
    pause = at[1:] - ends[:-1]
    new = np.append(True, (user[1:] != user[:-1]) | (at[1:] // DAY != at[:-1] // DAY))
    begins = np.flatnonzero(new)
    counts = np.diff(np.append(begins, len(at)))
    mean = float(counts.mean())
    if counts.max() == 1:
        found.keys["behaviour.requests"] = {"kind": "fixed", "requests": 1}
    else:
        excess = max(float(counts.var(ddof=1)) - (mean - 1), 1e-9)
        r = float(np.clip((mean - 1) ** 2 / excess, 0.02, 50))
        found.keys["behaviour.requests"] = {"kind": "negative binomial", "mean": round(mean, 4), "r": round(r, 4)}
        half = 1.96 * float(counts.std(ddof=1)) / len(counts) ** 0.5
        found.add(
            "behaviour.requests.mean",
            (mean, max(mean - half, 1.0), mean + half),
            "",
            len(counts),
            "wishes of a user and day",
        )
        think = pause[~new[1:] & (pause > 0)]
        inside = think[think <= SESSION]
        law = fitted(inside, np.ones(len(inside), dtype=bool), ("exponential", "lognormal"))
        if law is not None:
            found.law("behaviour.think", law, "maximum likelihood of pauses within half an hour")
        breaks(think, found)
    visit = np.zeros(len(asks), dtype=bool)
    visit[rows[order[begins]]] = True
    return visit


def breaks(think: Floats, found: Findings) -> None:
    """The share of pauses that end a session, and how long these last."""
    long = think > SESSION
    if long.sum() < FEW:
        return
    found.keys["behaviour.breaks.probability"] = round(float(long.mean()), 4)
    ends = proportion(int(long.sum()), len(think))
    found.add(
        "behaviour.breaks.probability", (float(long.mean()), *ends), "", len(think), "pauses of half an hour or more"
    )
    law = fitted(think[long], np.ones(int(long.sum()), dtype=bool), ("lognormal",))
    if law is not None:
        found.law("behaviour.breaks.lasting", law, "maximum likelihood")
