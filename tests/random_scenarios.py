"""Scenarios for tests: a plain one to vary by hand, and hypothesis strategies that mix every mechanism."""

from typing import Any

from hypothesis import strategies as st

from sim.profile.profile import Profile, constant_profile
from sim.scenario.document import merged
from sim.scenario.scenario import Scenario
from tests.random_policies import playbooks
from tests.random_values import PAUSES, TIMES, seconds, shares

PLAIN: dict[str, Any] = {
    "title": "A test",
    "horizon": "10 min",
    "tiers": {"free": {"share": 1}},
    "features": {"image": {"share": 1, "pool": "gpus", "slo": "60 s", "spec": {"model": "slow"}}},
    "pools": {"gpus": {"gpus": 1}},
    "demand": [{"kind": "steady", "rate": "1 per min"}],
    "behaviour": {
        "requests": {"kind": "fixed", "requests": 1},
        "think": {"kind": "constant", "value": "5 s"},
        "patience": {"kind": "never"},
        "retry": {"at_most": 0},
        "churn": 0,
        "returns": {"kind": "power law", "at_one_day": 0},
    },
    "serving": {"noise": {"kind": "none"}},
}


def constant(seconds: float, *, largest_batch: int = 1) -> Profile:
    """A machine that takes the same time for any batch."""
    return constant_profile("constant", seconds, largest_batch=largest_batch)


PROFILES = {
    "slow": constant_profile("slow", 8.0, largest_batch=4, per_image=2.0),
    "quick": constant_profile("quick", 2.0, largest_batch=4, per_image=1.0),
    "crawling": constant_profile("crawling", 60.0, largest_batch=4, per_image=20.0),
}


def plain(profiles: dict[str, Profile] | None = None, **settings: Any) -> Scenario:
    """The plain scenario with other settings, merged key by key as an override would be."""
    return Scenario.from_dict(merged(PLAIN, settings), profiles={**PROFILES, **(profiles or {})})


@st.composite
def pools(draw: st.DrawFn, name: str) -> dict[str, Any]:
    runs = draw(st.sampled_from(["batches", "batches", "steps", "threads"]))
    linger = draw(seconds(0, 20)) if runs == "batches" else 0
    each = draw(st.sampled_from([1, 1, 2]))
    pool: dict[str, Any] = {
        "gpus": each * draw(st.integers(1, 3)),
        "gpus_per_replica": each,
        "max_batch": draw(st.integers(2, 4)),
        "linger": linger,
        "runs": runs,
    }
    rules = ["random", "round robin", "two choices", "least requests", "hash"]
    rules += ["least work"] if runs == "batches" else []
    pool["dispatch"] = draw(st.sampled_from([*["central queue"] * len(rules), *rules]))
    if runs == "batches":
        pool["model_load"] = {"kind": "constant", "value": draw(st.sampled_from(["0 s", "3 s"]))}
        if pool["dispatch"] not in ("central queue", "round robin", "hash"):
            pool["affinity"] = draw(st.sampled_from([None, "0 s", "5 s", "never"]))
    if runs == "batches" and draw(st.booleans()):
        pool |= {
            "closes": "when full or timed out",
            "timer": draw(
                st.sampled_from(["from the oldest", "from the last close", "from the last close, as polled"])
            ),
            "late_joiners": draw(st.booleans()),
        }
        if pool["dispatch"] == "central queue" and draw(st.booleans()):
            slots = draw(st.integers(1, 3))
            pool |= {"closes": "when a slot is free", "timer": "from the oldest", "slots": slots}
    return {name: pool}


@st.composite
def kinds(draw: st.DrawFn, pool: dict[str, Any], models: list[str]) -> dict[str, Any]:
    """Two kinds of GPU, of which the second may have other profiles."""
    each = pool["gpus_per_replica"]
    one, other = each * draw(st.integers(1, 2)), each * draw(st.integers(1, 2))
    named = {model: draw(st.sampled_from(sorted(PROFILES))) for model in models}
    return {
        **pool,
        "gpus": one + other,
        "kinds": {"new": {"gpus": one}, "old": {"gpus": other, "profiles": named, "dollars_per_gpu_hour": 1}},
        "takes_first": draw(st.sampled_from(["fastest", "cheapest"])),
    }


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    return {"model": draw(st.sampled_from(sorted(PROFILES))), "images": draw(st.integers(1, 2))}


SPECS = specs()
LADDERS = st.lists(SPECS, max_size=2)


@st.composite
def features(draw: st.DrawFn, pool_names: list[str]) -> dict[str, Any]:
    return {
        name: {
            "share": share,
            "pool": draw(st.sampled_from(pool_names)),
            "slo": draw(seconds(10, 120)),
            "spec": draw(SPECS),
            "ladder": draw(LADDERS),
            "images": draw(st.sampled_from([{}, {1: 0.6, 2: 0.4}])),
            "meter": draw(st.sampled_from(["", "shared"])),
        }
        for name, share in draw(shares("image", "edit")).items()
    }


PEOPLE = st.integers(0, 40)
WAVE = st.one_of(
    st.builds(lambda n: {"kind": "steady", "rate": f"{n} per 10 min"}, PEOPLE),
    st.builds(lambda n, lasting: {"kind": "spike", "people": n, "lasting": lasting}, PEOPLE, seconds(1, 120)),
    st.builds(lambda n: {"kind": "weibull", "people": n, "scale": "3 min"}, PEOPLE),
    st.builds(lambda n: {"kind": "bass", "people": n, "innovation": "10 per hour", "imitation": "60 per hour"}, PEOPLE),
    st.builds(
        lambda n, think, feature: {"kind": "callers", "in_flight": n, "think": think, "feature": feature},
        st.integers(1, 5),
        PAUSES,
        st.sampled_from(["", "image"]),
    ),
)
WAVES = st.lists(WAVE, min_size=1, max_size=3)
AGES = st.sampled_from(["0", "100 s", "30 days"])


@st.composite
def waves(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [{**w, "account_age": draw(AGES), "from": draw(seconds(0, 200))} for w in draw(WAVES)]


@st.composite
def demands(draw: st.DrawFn, tiers: list[str]) -> dict[str, Any]:
    """Waves, and perhaps programs, and people whom images bring."""
    programs = {"kind": "clients", "clients": draw(st.integers(1, 3)), "rate": "2 per min", "cv": 1.5, "skew": 0.5}
    word = {"market": 200, "shared": 0.5, "signups": 0.8, "delay": draw(PAUSES)}
    return {
        "waves": draw(waves()),
        "clients": draw(st.sampled_from([[], [{**programs, "retries": draw(st.booleans())}]])),
        "word_of_mouth": draw(st.sampled_from([None, word])),
        "openings": draw(st.sampled_from([{}, {tiers[0]: {"at": "100 s", "pent_up": 0.7, "within": "30 s"}}])),
    }


@st.composite
def behaviours(draw: st.DrawFn) -> dict[str, Any]:
    count = {"kind": "fixed", "requests": draw(st.integers(1, 4))}
    return {
        "requests": draw(st.sampled_from([count, {"kind": "negative binomial", "mean": 2, "r": 0.5, "at_most": 9}])),
        "activity": draw(st.sampled_from([{}, {"sigma": 1, "heavy": 0.1}])),
        "breaks": {"probability": draw(st.sampled_from([0, 0.3])), "lasting": draw(PAUSES)},
        "think": draw(PAUSES),
        "patience": draw(TIMES),
        "patience_notified": draw(TIMES),
        "regenerate": draw(st.sampled_from([0, 0.5])),
        "churn_late": draw(st.sampled_from([0, 0.5])),
        "retry": {
            "at_most": draw(st.integers(0, 3)),
            "probability": draw(st.sampled_from([0, 0.5, 1])),
            "after_leaving": draw(st.sampled_from([0, 0.5, 1])),
            "hopeless": draw(st.sampled_from([0, 1])),
            "backoff": draw(PAUSES),
            "growth": draw(st.sampled_from([1, 2])),
            "longest": draw(st.sampled_from(["never", "20 s"])),
            "second_account": draw(st.sampled_from([0, 0.5])),
        },
        "churn": draw(st.sampled_from([0, 0.5, 1])),
        "returns": {"kind": "power law", "at_one_day": 0},
        "waitlist_patience": draw(TIMES),
    }


RETURNS = st.one_of(
    st.builds(
        lambda share, decay: {"kind": "power law", "at_one_day": share, "decay": decay},
        st.sampled_from([0.1, 0.5, 1]),
        st.sampled_from([0, 0.69]),
    ),
    st.builds(lambda use: {"kind": "beta geometric", "a": 1, "b": 2, "use": use}, st.sampled_from([0.4, 1])),
)


@st.composite
def documents(draw: st.DrawFn, *, mortal: bool = False) -> dict[str, Any]:
    """A small scenario with any mix of mechanisms, and two playbooks 'one' and 'other'. mortal: GPUs may be lost."""
    pool_names = draw(st.sampled_from([["gpus"], ["gpus", "spare"]]))
    tiers = draw(st.sampled_from([("free",), ("free", "plus")]))
    found = {name: pool for p in pool_names for name, pool in draw(pools(p)).items()}
    own = st.one_of(
        st.just({}), st.fixed_dictionaries({"patience": TIMES}), st.fixed_dictionaries({"returns": RETURNS})
    )
    central = [name for name, pool in found.items() if mortal and pool["dispatch"] == "central queue"]
    wanted = draw(features(pool_names))
    for feature in wanted.values():
        if found[feature["pool"]]["runs"] != "batches":
            feature["length"] = draw(
                st.sampled_from([{"kind": "fixed"}, {"kind": "geometric"}, {"kind": "lognormal", "cv": 0.5}])
            )
        if found[feature["pool"]]["runs"] == "steps":
            feature["slo_first_token"] = draw(st.sampled_from(["never", "5 s"]))
            feature["slo_per_token"] = draw(st.sampled_from(["never", "500 ms"]))
    spill = draw(st.sampled_from([None, {"to": ["edit"], "above": "10 s"}, {"to": {"edit": 2}, "above": 0}]))
    if spill is not None:  # to where the same is served
        for feature in wanted.values():
            feature |= {"slo_first_token": "never", "slo_per_token": "never"}
        wanted["image"]["spill"] = spill
        wanted["edit"] |= {name: wanted["image"][name] for name in ("slo", "images", "spec")}
    for name, pool in found.items():
        if draw(st.sampled_from([False, False, True])):
            asked = [spec["model"] for f in wanted.values() if f["pool"] == name for spec in (f["spec"], *f["ladder"])]
            found[name] = draw(kinds(pool, sorted(set(asked))))
    return {
        "title": "A random one",
        "start": draw(st.sampled_from(["2025-01-01", "2025-01-01 23:55"])),
        "horizon": draw(seconds(120, 900)),
        "control_tick": draw(seconds(5, 120)),
        "tiers": {name: {"share": share, **draw(own)} for name, share in draw(shares(*tiers)).items()},
        "pools": found,
        "features": wanted,
        "demand": draw(demands(list(tiers))),
        "behaviour": draw(behaviours()),
        "serving": {
            "noise": {
                "kind": draw(st.sampled_from(["none", "lognormal", "exponential", "uniform", "gamma", "weibull"])),
                "cv": 0.3,
            },
            "notices_leaving": draw(st.booleans()),
            "cancels_running": draw(st.booleans()),
            "lost_work": draw(st.sampled_from(["waits again", "is refused"])) if mortal else "waits again",
            "tells_refusals": draw(st.booleans()),
            "delivers_late": draw(st.booleans()),
            "notifies_above": draw(st.sampled_from(["never", "10 s"])),
        },
        "playbooks": {name: draw(playbooks(list(tiers), pool_names, central)) for name in ("one", "other")},
    }


REGIONS = {"there": {"share": 0.5, "zone": "Asia/Tokyo"}, "here": {"share": 0.5, "zone": "America/New_York"}}


@st.composite
def long_documents(draw: st.DrawFn) -> dict[str, Any]:
    """The same over some days, to which people come back: at their hours, on their weekdays, until they leave."""
    document = draw(documents())
    demand, behaviour = document["demand"], document["behaviour"]
    slow = [{**w, "rate": w["rate"].replace("10 min", "day")} if w["kind"] == "steady" else w for w in demand["waves"]]
    slow = [{**w, "think": {"kind": "constant", "value": "1 h"}} if w["kind"] == "callers" else w for w in slow]
    programs = [{**program, "rate": "10 per day"} for program in demand["clients"]]
    season = {"daily_peak_to_mean": 2, "peak_hour": 20, "weekend": draw(st.sampled_from([0.5, 1]))}
    places = {"season": draw(st.sampled_from([{}, season])), "regions": draw(st.sampled_from([{}, REGIONS]))}
    loyal = {"loyalty": draw(st.sampled_from([0, 1]))}
    word = demand["word_of_mouth"]
    if word is not None:
        word = {**word, "market": 700}  # waves alone bring up to 600 people in five days
    return {
        **document,
        "horizon": f"{draw(st.integers(25, 120))} h",
        "control_tick": f"{draw(st.integers(1, 8))} h",
        "demand": {**demand, "waves": slow, "clients": programs, "word_of_mouth": word, **places},
        "behaviour": {**behaviour, "activity": {**behaviour["activity"], **loyal}, "returns": draw(RETURNS)},
    }


def scenario_from(document: dict[str, Any]) -> Scenario:
    return Scenario.from_dict(document, profiles=PROFILES)


# Anything at all, where something else belongs.
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every place in a nested document, as (container, key)."""
    items = list(node.items() if isinstance(node, dict) else enumerate(node))
    found = [(node, key) for key, _ in items]
    return found + [place for _, child in items if isinstance(child, dict | list) for place in places(child)]
