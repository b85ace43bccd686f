"""Patience, retries and sessions of the people in a log."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from sim.calibration.asks import Asks
from sim.calibration.estimates import Findings
from sim.calibration.fitted_laws import FittedLaw, Floats, Mask, Z, fitted, log_density
from sim.demand.behaviour import Behaviour
from sim.demand.recordings.attempts import FAILED, REFUSED, Sessions, sessions
from sim.model.chance import LOGNORMAL
from sim.results.intervals import proportion

ONE_TIME = 0.01  # 95 % of patience within as much of its median is the timeout of a client
REFUTED = 3.0  # leavers expected where nobody left: as many are 5 % likely to be none
FEW = 20  # attempts, below which their share is no estimate
SESSION, DAY = 1800.0, 86400.0  # s: a longer pause ends a session
MOST_ATTEMPTS = 20


def patience(asks: Asks, found: Findings) -> None:
    """The law of the time until people leave; whoever was served, or given up by the server, is known to wait longer.

    These are competing exits, each of which hides the others (Kalbfleisch and Prentice, 2002, chapter 8). The law holds
    if an exit does not depend on the patience that it hides. Where people are seen to leave in the queue only, patience
    is that of waiting, and the scenario's, which runs to the image, is longer by a service.
    """
    key = "behaviour.patience"
    rows = (asks.left | asks.served | asks.thrown) & np.isfinite(asks.lasted) & (asks.lasted > 0)
    lasted, left = asks.lasted[rows], asks.left[rows]
    if not left.any():
        nobody_left(lasted, found)
        return
    waited, served = asks.waited[rows], asks.served[rows]
    in_queue = np.isfinite(waited).all() and bool((waited[left] >= lasted[left] - 1e-9).all())
    if in_queue and left.sum() >= FEW:
        law = fitted(np.where(served, waited, lasted), left)
        if law is not None:
            for name, values in law.parameters.items():
                unit = "" if name in ("sigma", "shape") else "s"
                method = f"maximum likelihood of waits, {law.kind}; those served, and timed out, as censored"
                found.add(f"patience in the queue, {name}", values, unit, law.seen, method)
        found.notes.append(
            "all who left did so in the queue: in a run patience goes on through the service, so that some leave there "
            "and more leave in all"
        )
        lasted = np.where(served, lasted, lasted + float(np.mean((lasted - waited)[served])))
    times = lasted[left]
    ends = np.quantile(times, (0.025, 0.5, 0.975))
    if len(times) >= FEW and ends[2] - ends[0] <= ONE_TIME * ends[1]:
        found.keys[key] = {"kind": "constant", "value": f"{ends[1]:.6g} s"}
        found.add(f"{key}.value", (ends[1], ends[0], ends[2]), "s", len(times), "all who left did so after this time")
        return
    law = fitted(lasted, left)
    if law is None:
        found.unknown[key] = f"only {left.sum()} people are seen to leave"
        return
    found.law(key, law, "maximum likelihood; served and timed out as censored")
    found.notes.append(f"patience beyond {lasted.max():.4g} s, the longest seen, is the law's and not the data's")


def nobody_left(lasted: Floats, found: Findings) -> None:
    """Nobody is seen to leave: the default patience stays, unless it would have had people leave within these times."""
    key, longest = "behaviour.patience", lasted.max(initial=0.0)
    usual = Behaviour().patience.law
    at_default = float(special.ndtr(np.log(lasted / usual.a) / usual.b).sum()) if usual.kind == LOGNORMAL else 0.0
    if at_default < REFUTED:
        found.unknown[key] = f"nobody is seen to leave; the longest took {longest:.4g} s"
        return
    found.keys[key] = {"kind": "never"}
    share = (0.0, 0.0, float(1 - 0.05 ** (1 / len(lasted))))
    found.add(f"{key}: share who leave", share, "", len(lasted), f"nobody did, within {longest:.4g} s at most")
    found.notes.append(
        f"nobody leaves in the runs, where the default patience would have had {at_default:.0f} of {len(lasted):,} "
        f"leave; how long people wait beyond {longest:.4g} s is not in the log: set behaviour.patience before you plan "
        "for that"
    )


def wishes_of(asks: Asks) -> Sessions | None:
    """Attempts joined into wishes; None where nobody is named, or nobody asks again."""
    if not asks.named or not np.isin(asks.status, (*REFUSED, *FAILED)).any():
        return None
    return sessions(asks.arrived, asks.lasted, asks.user, asks.kind, asks.status)


@dataclass(frozen=True)
class Next:
    """What each named user did after each attempt: float64 or bool (n,), in order of arrival.

    followed: asked again within `window` seconds, `pause` seconds after the end; settled: there was time to see it;
    failures: how many attempts in a row had failed, this one counted, where all of them were refused; 0 elsewhere.
    tries: the same, however they failed.
    again: of answered requests, the share that was followed: people want another image, and not the same. answers: how
    many of them there are.
    """

    followed: Mask
    pause: Floats
    settled: Mask
    failures: NDArray[np.int64]
    tries: NDArray[np.int64]
    window: float
    again: float
    answers: int


def next_of(asks: Asks) -> Next:
    """The window is SESSION, or a tenth of the log, if that is shorter."""
    window = min(SESSION, asks.length / 10)
    order = np.lexsort((asks.arrived, asks.user))
    user, ends = asks.user[order], (asks.arrived + np.nan_to_num(asks.lasted))[order]
    same = np.append(user[1:] == user[:-1], False)
    gap = np.where(same, np.append(asks.arrived[order][1:], np.inf) - ends, np.inf)
    refused, failed = asks.refused[order], (asks.refused | asks.left | asks.thrown)[order]
    row, tries, k, tried = np.zeros(len(order), dtype=np.int64), np.zeros(len(order), dtype=np.int64), 0, 0
    new = np.append(True, ~same[:-1])
    for place, (starts, bad, turned) in enumerate(zip(new.tolist(), failed.tolist(), refused.tolist(), strict=True)):
        k, tried = (0, 0) if starts else (k, tried)
        tried = tried + 1 if bad else 0
        tries[place] = tried
        k = (k + 1 if turned and k >= 0 else -1) if bad else 0
        row[place] = max(k, 0) if turned else 0
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    followed, settled = gap <= window, ends < asks.length - window
    served = asks.served[order] & settled
    again = float(followed[served].mean()) if served.any() else 0.0
    return Next(followed[back], gap[back], settled[back], row[back], tries[back], window, again, int(served.sum()))


def retries(asks: Asks, found: Findings) -> None:
    """The chance and the pause of another attempt, after a refusal and after leaving, and the most attempts.

    After a failure a user asks again for the same, or gives up and wants the next image, as after an answer: the share
    that is followed after answers parts the two.
    """
    failed = asks.refused | asks.left | asks.thrown
    if not failed.any():
        found.unknown["behaviour.retry"] = "nobody was refused, and nobody left"
        return
    if not asks.named:
        nobody_again(int(failed.sum()), found)
        return
    after = next_of(asks)
    rows = asks.refused & after.settled & (after.failures > 0)
    if rows.sum() >= FEW:
        chance, most, ends = chance_and_most(after.failures[rows], after.followed[rows], after.again)
        found.keys["behaviour.retry.probability"], found.keys["behaviour.retry.at_most"] = round(chance, 4), most
        how = f"maximum likelihood of rows of refusals; {after.again:.3g} of answers are followed too"
        found.add("behaviour.retry.probability", (chance, *wider(chance, ends, after)), "", int(rows.sum()), how)
        found.add("behaviour.retry.at_most", (most, math.nan, math.nan), "", int(rows.sum()), "of the same likelihood")
    else:  # a server that gives up refuses, though late
        share_followed("behaviour.retry.probability", asks.thrown, after, found)
    share_followed("behaviour.retry.after_leaving", asks.left, after, found)
    backoff(asks, after, found)


def nobody_again(failed: int, found: Findings) -> None:
    """Who asked again is not seen, and is counted as another person: retries in the runs would count them twice."""
    found.keys["behaviour.retry.probability"], found.keys["behaviour.retry.after_leaving"] = 0.0, 0.0
    found.unknown["behaviour.retry"] = "users are not named, or each of them asks once"
    found.notes.append(
        f"nobody retries in the runs: people who asked again after one of the {failed:,} failures, if any did, are "
        "counted among those who came. Under another playbook there would be more or fewer of them: set "
        "behaviour.retry, and take them out of the demand, before you plan for that"
    )


def share_followed(key: str, ended: Mask, after: Next, found: Findings) -> None:
    """The chance of another attempt after such an end, beyond the share that is followed after answers."""
    rows = ended & after.settled
    rows &= after.tries <= found.keys.get("behaviour.retry.at_most", MOST_ATTEMPTS)  # after these nobody may
    hits, n = int(after.followed[rows].sum()), int(rows.sum())
    if n < FEW:
        found.unknown[key] = f"only {n} attempts that ended so could show it" if n else "no attempt ended so"
        return
    share, low, high = (
        float(np.clip((v - after.again) / max(1 - after.again, 1e-9), 0, 1)) for v in (hits / n, *proportion(hits, n))
    )
    found.keys[key] = round(share, 4)
    found.add(key, (share, *wider(share, (low, high), after)), "", n, "share followed, beyond that of answers")
    found.keys.setdefault("behaviour.retry.at_most", 3)


def wider(chance: float, ends: tuple[float, float], after: Next) -> tuple[float, float]:
    """The bounds of a chance that take `again` as known, widened by its own error (the delta method)."""
    error = Z * math.sqrt(after.again * (1 - after.again) / max(after.answers, 1))
    error *= (1 - chance) / max(1 - after.again, 1e-9)
    low, high = (math.hypot(chance - end, error) for end in ends)
    return max(chance - low, 0.0), min(chance + high, 1.0)


def chance_and_most(
    failures: NDArray[np.int64], followed: Mask, again: float
) -> tuple[float, int, tuple[float, float]]:
    """The chance of a retry, the most retries, and the chance's 95 % bounds, by the k-th failure in a row.

    A wish that is given up is followed, with the share `again`, by a new one, whose attempts are counted afresh; so the
    attempt's own number is hidden, and the likelihood sums over it.
    """
    longest = int(min(failures.max(), MOST_ATTEMPTS))
    n = np.bincount(np.minimum(failures, longest), minlength=longest + 1)[1:]
    hits = np.bincount(np.minimum(failures, longest), followed, minlength=longest + 1)[1:]

    def cost(chance: float, most: int) -> float:
        where, total = np.zeros(longest + 2), 0.0
        where[1] = 1.0
        retry = np.where(np.arange(longest + 2) <= most, chance, 0.0)
        for k in range(longest):
            kept, new = where * retry, float((where * (1 - retry)).sum()) * again
            share = min(max(float(kept.sum()) + new, 1e-9), 1 - 1e-9)
            total -= hits[k] * math.log(share) + (n[k] - hits[k]) * math.log(1 - share)
            where = np.append(0.0, kept[:-1]) / share
            where[1] += new / share
        return total

    grid = np.linspace(0.0, 1.0, 26)
    costs = np.array([[cost(float(p), m) for p in grid] for m in range(1, longest + 1)])
    m, at = np.unravel_index(int(np.argmin(costs)), costs.shape)
    near = (max(grid[at] - 0.04, 0.0), min(grid[at] + 0.04, 1.0))
    best = optimize.minimize_scalar(lambda p: cost(float(p), int(m) + 1), bounds=near, method="bounded")
    chance = float(best.x)

    def above(p: float) -> float:
        return cost(p, int(m) + 1) - float(best.fun) - Z * Z / 2

    low, high = (optimize.brentq(above, end, chance) if above(end) > 0 else end for end in (0.0, 1.0))
    return chance, int(m) + 1, (float(low), float(high))


def backoff(asks: Asks, after: Next, found: Findings) -> None:
    """The law of the pause before a first retry: of the pauses after failures, less those before new wishes (EM)."""
    first = after.followed & after.settled & (after.pause > 0)
    times = after.pause[first & (after.failures == 1)]
    other = after.pause[first & asks.served]
    if len(times) < FEW:
        found.unknown["behaviour.retry.backoff"] = f"only {len(times)} pauses were seen"
        return
    kinds = ("exponential", "lognormal", "uniform")
    think = fitted(other, np.ones(len(other), dtype=bool), ("lognormal",)) if len(other) >= FEW else None
    seen = np.ones(len(times), dtype=bool)
    settled = after.settled & (after.failures == 1)
    share = float(after.followed[settled].mean())
    new = max(0.0, (1 - (share - after.again) / max(1 - after.again, 1e-9)) * after.again / max(share, 1e-9))
    law = fitted(times, seen, kinds) if think is None or new < 0.02 else parted(times, think, min(new, 0.95))
    if law is not None:
        found.law("behaviour.retry.backoff", law, "maximum likelihood of pauses after first failures")


def parted(times: Floats, think: FittedLaw, new: float) -> FittedLaw | None:
    """The law of those times that are not of `think`, which a known share `new` is: uniform or lognormal, by EM.

    The intervals take the parts as known, and are a little too narrow.
    """
    logs = np.log([think.parameters["median"][0], think.parameters["sigma"][0]])
    others = new * np.exp(log_density("lognormal", logs, times)[0])
    weights, law = np.full(len(times), 1 - new), None
    for _ in range(30):
        law = fitted(times, np.ones(len(times), dtype=bool), ("exponential", "lognormal"), weights)
        if law is None:
            return None
        p = np.log([value for value, _, _ in law.parameters.values()])
        mine = (1 - new) * np.exp(log_density(law.kind, p, times)[0])
        weights = mine / (mine + others)
    return law


def visits(asks: Asks, first: Mask, found: Findings) -> Mask:
    """Which first attempts begin a visit (a user's day); and how many wishes a visit has, with what pauses.

    Where users are not named each wish is a visit. People who come back on a later day are counted as new visits.
    """
    found.keys["behaviour.returns"] = {"kind": "power law", "at_one_day": 0}
    rows = np.flatnonzero(first)
    if not asks.named:
        found.keys["behaviour.requests"] = {"kind": "fixed", "requests": 1}
        why = "users are not named, or each of them asks once: each request is a person of its own"
        found.unknown["behaviour.requests"] = why
        return first
    user, at = asks.user[rows], asks.arrived[rows]
    if cut_short(user, at, asks.length):
        found.keys["behaviour.requests"] = {"kind": "fixed", "requests": 1}
        found.unknown["behaviour.requests"] = "most visits reach to the end of the log: each wish is a visit of its own"
        return first
    order = np.lexsort((at, user))
    user, at = user[order], at[order]
    ends = (asks.arrived + np.nan_to_num(asks.lasted))[rows][order]
    pause = at[1:] - ends[:-1]
    new = np.append(True, (user[1:] != user[:-1]) | (at[1:] // DAY != at[:-1] // DAY))
    begins = np.flatnonzero(new)
    counts = np.diff(np.append(begins, len(at)))
    after = next_of(asks)
    n = int((asks.served & after.settled).sum())
    mean = 1 / (1 - min(after.again, 0.995)) if n >= FEW else float(counts.mean())
    if counts.max() == 1:
        found.keys["behaviour.requests"] = {"kind": "fixed", "requests": 1}
    else:
        excess = max(float(counts.var(ddof=1)) - (mean - 1), 1e-9)
        r = float(np.clip((mean - 1) ** 2 / excess, 0.02, 50))
        found.keys["behaviour.requests"] = {"kind": "negative binomial", "mean": round(mean, 4), "r": round(r, 4)}
        low, high = (
            (1 / (1 - min(v, 0.995)) for v in proportion(round(after.again * n), n)) if n else (math.nan, math.nan)
        )
        how = "1 / (1 - share of answers that another request follows)"
        found.add("behaviour.requests.mean", (mean, low, high), "", n, how)
        think = after.pause[asks.served & after.followed & (after.pause > 0)]
        law = fitted(think, np.ones(len(think), dtype=bool), ("exponential", "lognormal"))
        if law is not None:
            found.law(
                "behaviour.think", law, f"maximum likelihood of pauses after answers, within {after.window:.4g} s"
            )
        breaks(pause[~new[1:] & (pause > 0)], found)
    visit = np.zeros(len(asks), dtype=bool)
    visit[rows[order[begins]]] = True
    return visit


def cut_short(user: NDArray[np.int64], at: Floats, length: float) -> bool:
    """Whether the log is too short for visits: those with several wishes last a fifth of it."""
    wishes = pd.Series(at).groupby(user)
    lasts = (wishes.max() - wishes.min())[wishes.size() > 1]
    return bool(len(lasts)) and length < DAY and float(lasts.mean()) > length / 5


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
