"""The throttling that was in force in a log: which rule tells its refused requests from the granted ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.calibration.asks import Asks
from sim.calibration.estimates import Findings
from sim.results.intervals import proportion

Floats = NDArray[np.float64]
WRONG = 0.25  # share of requests that a rule may get wrong; a coin would be wrong for up to a half
FEW, EVEN = 10, 0.05
RATES, MOST_ROWS = np.geomspace(0.7, 1.5, 17), 20_000


@dataclass(frozen=True)
class Rule:
    """A policy as a playbook has it, and the share of refused and of granted requests that it gets wrong.

    off: how much lower and higher its number may be, by a coarse clock.
    """

    policy: dict[str, Any]
    wrong: float
    words: str
    off: tuple[float, float] = (0.0, 0.0)


def throttling(asks: Asks, found: Findings) -> list[dict[str, Any]]:
    """The steps of the playbook that was in force; none where too few were refused."""
    refused = asks.refused
    always = timeout(asks, found)
    if refused.sum() < FEW:
        if refused.any():
            found.unknown["the throttling in force"] = f"only {int(refused.sum())} requests were refused"
        return always
    rules = [rule for rule in (inside_limit(asks), by_user(asks)) if rule is not None]
    best = min(rules, key=lambda rule: rule.wrong, default=None)
    bucket = of_service(asks)
    if bucket is not None and bucket.wrong < (WRONG if best is None else min(best.wrong, WRONG)):
        found.unknown["the throttling in force"] = (
            f"{bucket.words}, wrong for {bucket.wrong:.2%} of requests: no policy is that, so a share at random stands "
            "for it, which lets more in when more come: runs have fewer refusals and repeats in the busiest minutes"
        )
        best = None
    if best is None or best.wrong > WRONG:
        return [*always, at_random(asks, found)]
    at, window = asks.arrived[refused], ""
    step: dict[str, Any] = {"policy": best.policy}
    early = granted_against(asks, best.policy, float(at[0]))
    if early:
        step["from"] = f"{max(at[0] - 1e-3, 0):.6g} s"
        window = f", from {at[0]:.6g} s on: before, {early:,} were granted that it would have refused"
    found.notes.append(f"throttling in force: {best.words}, wrong for {best.wrong:.2%} of requests{window}")
    number = next(v for k, v in best.policy.items() if k not in ("kind", "pools", "burst"))
    value = float(number) if isinstance(number, int) else 1.0 / float(str(number).split()[0])
    ends = value - best.off[0], value + best.off[1]
    found.add(f"{best.policy['kind']}", (value, *ends), "" if isinstance(number, int) else "s",
              int(refused.sum()), "the bound that separates refused from granted requests")  # fmt: skip
    return [*always, step]


def at_random(asks: Asks, found: Findings) -> dict[str, Any]:
    """The step that refuses a share at random between the first and the last refusal."""
    at = asks.arrived[asks.refused]
    refused = asks.refused[(asks.arrived >= at[0]) & (asks.arrived <= at[-1])]
    share, n = float(refused.mean()), len(refused)
    ends = proportion(int(refused.sum()), n)
    found.add("shed, share", (share, *ends), "", n, "of the requests between the first and the last refusal")
    found.notes.append(
        "refusals follow neither the number inside nor the user's own requests: taken as a share at random "
        "between the first and the last"
    )
    policy = {"kind": "shed", "share": round(share, 4)}
    return {"policy": policy, "from": f"{at[0]:.6g} s", "until": f"{at[-1]:.6g} s"}


def timeout(asks: Asks, found: Findings) -> list[dict[str, Any]]:
    """The server's own limit on the wait, where all whom it gave up had waited for the same time."""
    waits = asks.lasted[asks.thrown & np.isfinite(asks.lasted)]
    if len(waits) < FEW:
        return []
    after, spread = float(np.median(waits)), float(np.std(waits))
    if spread > EVEN * after:
        found.unknown["the server's timeout"] = f"it gave up on {len(waits):,} requests after waits that differ"
        return []
    found.add(
        "expiry, after", (after, float(waits.min()), float(waits.max())), "s", len(waits), "when the server gave up"
    )
    found.notes.append("in a run a request expires when its turn comes, not at the moment its time is over")
    return [{"policy": {"kind": "expiry", "after": f"{after:.6g} s", "foresight": False}}]


def number_inside(asks: Asks) -> Floats:
    """Requests inside when each one came: granted before it and not over yet."""
    granted = ~asks.refused
    came: NDArray[np.int64] = np.cumsum(granted) - granted
    ends = np.sort((asks.arrived + np.nan_to_num(asks.lasted))[granted])
    return np.asarray(came - np.searchsorted(ends, asks.arrived, side="right"), dtype=np.float64)


def inside_limit(asks: Asks) -> Rule | None:
    """At most K inside: the K that parts refused from granted with the fewest mistakes, from the first refusal on."""
    refused = asks.refused
    if not np.isfinite(asks.lasted[asks.served]).any():
        return None
    inside = number_inside(asks)
    after = asks.arrived >= asks.arrived[refused][0]
    candidates = np.unique(inside[refused])
    best, wrong = 0, 1.0
    for limit in candidates[candidates > 0][:2000]:
        mistakes = float(((inside < limit) == refused)[after].mean())
        if mistakes < wrong:
            best, wrong = int(limit), mistakes
    if not best:
        return None
    low, high = np.quantile(inside[refused & after], (0.025, 0.975)) if asks.tick else (best, best)
    off = max(best - float(low), 0.0), max(float(high) - best, 0.0)
    return Rule({"kind": "limit", "requests": best}, wrong, f"at most {best} inside", off)


def by_user(asks: Asks) -> Rule | None:
    """A rate limit of each user: refused if the last grant is less than T ago."""
    if not asks.named:
        return None
    refused = asks.refused
    granted = pd.Series(np.where(refused, np.nan, asks.arrived)).iloc[np.lexsort((asks.arrived, asks.user))]
    user = asks.user[granted.index]
    last = granted.groupby(user).ffill().groupby(user).shift().sort_index().to_numpy()  # the grant before; nan is none
    since = np.where(np.isnan(last), np.inf, asks.arrived - last)
    again = np.isfinite(since)
    if (refused & again).sum() < 0.5 * refused.sum() or (~refused & again).sum() < FEW:
        return None
    bound = (float(since[refused & again].max()) + float(since[~refused & again].min())) / 2
    wrong = max(float((since[refused] > bound).mean()), float((since[~refused & again] < bound).mean()))
    if not 0 < bound < np.inf:
        return None
    rate = f"{1 / bound:.6g} per s"
    return Rule({"kind": "rate limit", "rate": rate}, wrong, f"one request of a user each {bound:.4g} s")


def of_service(asks: Asks) -> Rule | None:
    """A token bucket of the whole service: refused when grants have filled it, which empty at a rate.

    Of the rates near that of the grants between the first and the last refusal, the one with the fewest mistakes.
    """
    refused = asks.refused
    places = np.flatnonzero(refused)
    part = slice(int(places[0]), min(int(places[-1]) + 1, int(places[0]) + MOST_ROWS))
    at, bad = asks.arrived[part], refused[part]
    pace = float((~bad).sum()) / max(float(np.ptp(at)), 1e-9)
    best: tuple[float, float, float] | None = None
    for rate in pace * RATES:
        level, before, levels = 0.0, float(at[0]), np.empty(len(at))
        for k, (now, no) in enumerate(zip(at.tolist(), bad.tolist(), strict=True)):
            level = max(level - rate * (now - before), 0.0)
            levels[k], before = level, now
            level += not no
        order = np.argsort(levels)
        below, above = np.cumsum(bad[order]), (~bad).sum() - np.cumsum(~bad[order])
        k = int(np.argmin(below + above))
        found = (float(below[k] + above[k]) / len(at), float(rate), float(levels[order][k]) + 1)
        best = found if best is None or found < best else best
    if best is None or not pace > 0:
        return None
    return Rule({}, best[0], f"a rate limit of the whole service, {best[1]:.3g} a second with bursts of {best[2]:.3g}")


def granted_against(asks: Asks, policy: dict[str, Any], before: float) -> int:
    """How many were granted before the first refusal that the rule would have refused."""
    if policy["kind"] != "limit":
        return 0
    inside = number_inside(asks)
    return int(((asks.arrived < before) & ~asks.refused & (inside >= policy["requests"])).sum())
