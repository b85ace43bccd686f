"""Hypothesis strategies for policies and playbooks of random scenarios."""

import functools
from typing import Any

from hypothesis import strategies as st

from tests.random_values import seconds


@st.composite
def policies(draw: st.DrawFn, tiers: list[str], pool_names: list[str]) -> dict[str, Any]:
    return draw(policies_for(draw(st.sampled_from(("all", "tier", "feature"))), tiers[0], tuple(pool_names)))


@functools.cache
def policies_for(whom: str, tier: str, pool_names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    target: dict[str, Any] = {"all": {}, "tier": {"tiers": [tier]}, "feature": {"features": ["image"]}}[whom]
    count, share = st.integers(0, 6), st.sampled_from([0, 0.2, 0.6, 1])
    kinds: list[st.SearchStrategy[dict[str, Any]]] = [
        st.builds(lambda s, a: {"kind": "feature gate", "open": s, "min_age": a, **target}, share, seconds(0, 200)),
        st.builds(lambda n: {"kind": "waitlist", "rate": f"{n} per min"}, st.integers(0, 10)),
        st.builds(
            lambda n, b: {"kind": "rate limit", "rate": f"{n} per min", "burst": b, **target}, count, st.integers(1, 3)
        ),
        st.builds(
            lambda n, w, r: {"kind": "quota", "requests": n, "window": w, "runs": r, **target},
            count,
            seconds(30, 600),
            st.sampled_from(["calendar", "rolling", "sliding", "sliding counter"]),
        ),
        st.builds(lambda n: {"kind": "concurrency", "requests": n, **target}, st.integers(0, 2)),
        st.builds(lambda n: {"kind": "queue bound", "requests": n, **target}, count),
        st.builds(lambda t: {"kind": "wait bound", "longest": t, **target}, seconds(0, 60)),
        st.builds(lambda s, f: {"kind": "shed", "share": s, "final": f, **target}, share, st.booleans()),
        st.builds(lambda n: {"kind": "degrade", "level": n, **target}, st.integers(1, 2)),
        st.builds(lambda n: {"kind": "limit", "requests": n, **target}, count),
        st.just({"kind": "last in first out"}),
        st.builds(lambda p: {"kind": "adaptive lifo", "pool": p, "above": "10 s"}, st.sampled_from(pool_names)),
        st.builds(
            lambda t, f: {"kind": "expiry", "after": t, "foresight": f, "pools": [pool_names[0]]},
            seconds(1, 60),
            st.booleans(),
        ),
        st.builds(
            lambda t, like: {"kind": "codel", "target": t, "interval": "40 s", "like": like},
            seconds(1, 20),
            st.sampled_from(["codel", "folly"]),
        ),
        st.builds(
            lambda per, ratio, bucket: {"kind": "retry budget", "per": per, "ratio": ratio, "bucket": bucket},
            st.sampled_from(["success", "first attempt"]),
            share,
            count,
        ),
        st.builds(lambda k: {"kind": "adaptive throttle", "k": k, "window": "60 s"}, st.sampled_from([1.1, 2])),
        st.builds(
            lambda pool, calm: {
                "kind": "degrade under load",
                "pool": pool,
                "above": "30 s",
                "below": "10 s",
                "calm": calm,
                "lowest": 2,
                **target,
            },
            st.sampled_from(pool_names),
            seconds(0, 120),
        ),
    ]
    return st.one_of(kinds)


@st.composite
def losses(draw: st.DrawFn, pool_names: list[str]) -> dict[str, Any]:
    """A policy that takes GPUs away with what they run, or lets them finish it."""
    pool, work = draw(st.sampled_from(pool_names)), draw(st.sampled_from(["is lost", "is lost", "finishes"]))
    failures = {"kind": "failures", "pool": pool, "mtbf": "100 s", "mttr": "40 s", "work": work}
    spot = {"kind": "spot", "pool": pool, "rate": 40, "notice": draw(seconds(0, 20)), "returns": "40 s"}
    outage = {"kind": "outage", "pools": [pool], "share": draw(st.sampled_from([0.5, 1])), "work": work}
    return draw(st.sampled_from([failures, spot, outage]))


@st.composite
def steps(draw: st.DrawFn, tiers: list[str], pool_names: list[str], kinds: Any = policies) -> dict[str, Any]:
    """A line of a playbook: by its dates, or, one in four, between them by what the gateway sees."""
    begins = draw(st.integers(0, 300))
    ends = draw(st.sampled_from([{}, {"until": f"{begins + 200} s"}]))
    figures: list[dict[str, Any]] = [
        {"expected_wait": {"above": "20 s", "below": "5 s"}, "pool": pool_names[0]},
        {"utilisation": {"above": "60 %", "below": "40 %"}, "pool": pool_names[-1]},
        {"queued": {"above": 3, "below": 1}, "pool": pool_names[0]},
        {"refused": {"above": "20 %", "below": "5 %"}},
        {"attempts": {"above": "6 per min", "below": "2 per min"}},
    ]
    late = {"for": draw(seconds(0, 40)), "reaction": draw(seconds(0, 60)), "cool_down": draw(seconds(0, 200))}
    when = draw(st.sampled_from([{}, {}, {}, {"when": {**draw(st.sampled_from(figures)), **late}}]))
    return {"policy": draw(kinds(tiers, pool_names)), "from": f"{begins} s", **ends, **when}


@st.composite
def playbooks(draw: st.DrawFn, tiers: list[str], pool_names: list[str], mortal: list[str]) -> list[dict[str, Any]]:
    """A few steps; priorities, where there are any, hold for the whole run. mortal: pools whose GPUs may be lost."""
    first = draw(st.sampled_from([[], [{"policy": {"kind": "priority", "first": tiers[-1:]}}]]))
    lost = draw(st.lists(steps(tiers, pool_names, lambda *_: losses(mortal)), max_size=2)) if mortal else []
    return [*first, *draw(st.lists(steps(tiers, pool_names), max_size=4)), *lost]
