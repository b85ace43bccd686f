"""A scenario as the compiled engine takes it: names become numbers and tables become arrays, once a run."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.demand.clockwork import Clockwork
from sim.engine.compiled.calendar import buckets_for
from sim.engine.compiled.pool_constants import NO_TIME, of_pools, padded, plain
from sim.engine.compiled.records import CHUNK, HABIT
from sim.model.narrow import narrow
from sim.results.timeline import bin_width, grid
from sim.scenario.habits import Habit, Habits, asks_of_callers, habits_of
from sim.scenario.parts import WAITS_AGAIN, Recording
from sim.scenario.people import Asks, People, ages_of, newcomers_of
from sim.scenario.scenario import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_INVITED = 1000  # by one image


class Constants(NamedTuple):
    """Constants of one run, in the shapes that compiled code wants. Laws are (kind, a, b)."""

    seed: int
    horizon: float
    warm_up: float
    midnight: float
    buckets_a_second: float  # of the calendar
    bins_a_second: float  # of the timeline
    edges: Floats  # of its bins
    rows: bool  # every row is recorded
    sampled: float  # else the share of users whose rows are kept
    pushes: int  # moments that one moment can put on the calendar at most
    chunks: int  # that it can need for them
    largest: int  # images in a batch at most, so requests that one moment can end
    # Everybody known beforehand, in order of arrival; what is the same for a whole source is by source.
    arrives: Floats
    keys: Ints
    tiers: NDArray[np.int8]
    regions: NDArray[np.int8]
    sources: NDArray[np.int16]
    ages: Floats
    newcomers: NDArray[np.bool_]
    # Features: by feature, then by the place of the number of images, then down the ladder.
    feature_bounds: Floats  # (regions, features - 1)
    spill_to: Ints  # (features, others): as which it is served where its pool is behind; -1 beyond the last
    spill_weights: Floats
    spill_above: Floats  # seconds of expected wait
    slo: Floats
    token_slo: Floats  # (features, 2): of the first token, and of each
    image_bounds: Floats  # (features, most numbers of images): 2 beyond the last
    image_counts: Ints
    ladders: Ints
    rungs: Ints
    meter: Ints
    meters: int
    pool_of: Ints
    # Specs and pools.
    spec_images: Ints
    spec_model: Ints
    noise_kind: Ints
    noise_shape: Floats
    noise_factors: Floats  # (specs, factors)
    seconds: Floats  # (rows, specs, images in a batch): of each pool, then of each kind of GPU in pools of several
    tables: Ints  # (pools, kinds): the rows of the kinds in a pool; its own again beyond the last
    full: Ints  # (rows, specs): images in a full batch
    work: Floats  # (rows, specs): GPU-seconds of one request in a full batch
    quantum: Floats  # by row: the most of these
    linger: Floats
    ahead: NDArray[np.bool_]  # by pool: whether batches close by themselves
    timer: Ints
    takes_late: NDArray[np.bool_]  # whether a closed one takes more requests until it starts
    slots: Ints  # batches for each GPU that run or wait closed, where a free slot closes them; else 0
    load: Floats  # (pools, 3): a law each
    # Queues: of the pools, then of the GPUs of those pools in which each GPU has one (see queues.py).
    dispatch: Ints  # by pool
    apart: NDArray[np.bool_]  # by pool: whether each GPU has a queue
    keeps: NDArray[np.bool_]  # by pool: whether its GPUs keep their models
    affinity: Floats  # the longer wait, seconds, for one that holds the model
    first_queue: Ints
    queue_step: Ints
    # Of pools that run many requests at once.
    many: NDArray[np.bool_]  # by pool: whether it does
    whole: NDArray[np.bool_]  # by pool: in whole steps
    most: Ints  # by pool: images, or threads, on one GPU
    together_size: Ints  # (pools, specs): of them in one request
    opening: Floats  # (rows, specs, of them): seconds before the first pass of those who join
    each: Floats  # (rows, specs, of them): seconds of a pass
    passes: Floats  # (rows, specs): that a request takes after the opening, on average
    first: Ints  # (rows, specs): steps that the opening makes
    lengths: Ints  # by feature: the law of steps
    length_sigma: Floats
    notices: bool
    cancels: bool  # what runs, when nobody waits for it any more
    repeats: bool  # work that is lost
    tells_refusals: bool
    delivers_late: bool
    notifies_above: float
    unlimited: bool
    # People.
    habits: NDArray[np.void]  # HABIT, one for each kind of behaviour
    habit_of: Ints  # (sources, tiers): the last row is of people whom images bring
    using: Floats  # (habits, days)
    staying: Floats
    flat: bool
    quantiles: Floats
    by_weekday: Floats
    local: Floats
    tier_bounds: Floats
    region_bounds: Floats
    # Scripts.
    ask_times: Floats
    ask_user: Ints
    ask_account: Ints  # the record of that user's account
    ask_feature: Ints
    ask_images: Ints
    ask_again: NDArray[np.bool_]
    arriving: NDArray[np.int32]  # people with a life, in order
    # Word of mouth.
    market: float  # 0 where there is none
    shared: float
    late: float
    degraded: float
    signups: float
    openings: Floats  # (tiers, 3): when it is let in, the share of the pent-up, the mean time they take to come
    delay: tuple[int, float, float]


def constants_of(
    scenario: Scenario, people: People, asks: Asks, seed: int, recording: Recording, *, unlimited: bool
) -> Constants:
    """The constants of one run."""
    clock = Clockwork(scenario.demand.season, scenario.demand.regions, scenario.start)
    buckets = buckets_for(4 * expected_attempts(scenario, len(people), len(asks.instants)))
    pushes = most_pushes(scenario)
    return Constants(
        seed=seed,
        horizon=scenario.horizon,
        warm_up=scenario.warm_up,
        midnight=scenario.midnight,
        buckets_a_second=buckets / scenario.horizon,
        bins_a_second=1.0 / bin_width(scenario.horizon),
        edges=grid(scenario.horizon),
        rows=recording.rows,
        sampled=recording.sampled,
        pushes=pushes,
        chunks=min(pushes, buckets) + pushes // CHUNK + 1,
        largest=max(pool.max_batch for pool in scenario.pools.values()) + 1,
        **of_people(scenario, people),
        **of_features(scenario),
        **of_pools(scenario, unlimited=unlimited),
        notices=scenario.serving.notices_leaving,
        cancels=scenario.serving.cancels_running,
        repeats=scenario.serving.lost_work == WAITS_AGAIN,
        **{name: getattr(scenario.serving, name) for name in ("tells_refusals", "delivers_late", "notifies_above")},
        unlimited=unlimited,
        **of_habits(habits_of(scenario), int(np.ceil(scenario.horizon / 86400.0)) + 1),
        **{name: getattr(clock, name) for name in ("flat", "quantiles", "by_weekday", "local")},
        tier_bounds=np.cumsum([tier.share for tier in scenario.tiers.values()])[:-1],
        region_bounds=np.cumsum([region.share for region in scenario.demand.regions.values()])[:-1],
        **of_scripts(scenario, people, asks),
        **of_word_of_mouth(scenario),
    )


def expected_attempts(scenario: Scenario, people: int, asks: int) -> float:
    """A rough estimate of the number of attempts, to size the calendar and the arrays by."""
    word, demand = scenario.demand.word_of_mouth, scenario.demand
    crowd = people if word is None else max(people, word.market * scenario.scale)
    looped = sum(asks_of_callers(scenario, wave) for wave in demand.waves) * scenario.scale
    return 2.0 * crowd * scenario.behaviour.requests.average + asks + looped


def most_pushes(scenario: Scenario) -> int:
    """The most moments that one moment can put on the calendar: those of all users whose images a batch holds."""
    invited = 0 if scenario.demand.word_of_mouth is None else MOST_INVITED
    stopped = int(scenario.serving.cancels_running and scenario.serving.delivers_late)  # each may stop another batch
    return (1 + invited + stopped) * max(pool.max_batch for pool in scenario.pools.values()) + 4


def of_people(scenario: Scenario, people: People) -> dict[str, Any]:
    """Everybody known beforehand."""
    return {
        "arrives": people.arrives,
        "keys": people.key,
        "tiers": people.tier,
        "regions": people.region,
        "sources": people.source,
        "ages": ages_of(scenario),
        "newcomers": newcomers_of(scenario),
        "arriving": narrow(np.flatnonzero(people.source < len(scenario.demand.waves)), np.int32),
    }


def of_scripts(scenario: Scenario, people: People, asks: Asks) -> dict[str, Any]:
    """Scripted asks; their accounts are the first records of people, in order."""
    first = len(scenario.demand.waves)
    again = np.array([source.retries for source in [*scenario.demand.clients, *scenario.demand.traces]] or [False])
    accounts = np.cumsum(people.source >= first) - 1
    return {
        "ask_times": asks.instants,
        "ask_user": asks.user,
        "ask_account": accounts[asks.user],
        "ask_feature": asks.feature,
        "ask_images": asks.images,
        "ask_again": again[people.source[asks.user] - first],
    }


def of_habits(habits: Habits, days: int) -> dict[str, Any]:
    """All kinds of behaviour."""
    returns = [habit.behaviour.returns for habit in habits.kinds]
    return {
        "habits": np.array([habit_record(habit, days) for habit in habits.kinds], dtype=HABIT),
        "habit_of": habits.by_source,
        "using": np.array([law.using(days) for law in returns]),
        "staying": np.array([law.staying(days) for law in returns]),
    }


def habit_record(habit: Habit, days: int) -> tuple[Any, ...]:
    """One kind of behaviour, in the order of HABIT."""
    b, retry = habit.behaviour, habit.behaviour.retry
    laws = (b.think, b.breaks.lasting, b.patience, b.patience_notified, b.waitlist_patience, retry.backoff)
    return (
        *b.requests.law,
        *(b.activity.sigma, b.activity.heavy, b.activity.times, b.activity.loyalty, b.breaks.probability),
        *[number for one in laws for number in plain(one.law)],
        *(retry.at_most, retry.growth, retry.longest),
        *(retry.probability, retry.after_leaving, retry.hopeless, retry.second_account),
        *(b.churn, b.churn_late, b.regenerate, habit.pause),
        *((b.returns.using(days) > 0).any(), (b.returns.staying(days) < 1).any(), habit.program, habit.feature),
        *(habit.standing, habit.first),
    )


def of_word_of_mouth(scenario: Scenario) -> dict[str, Any]:
    word = scenario.demand.word_of_mouth
    return {
        "market": 0.0 if word is None else word.market * scenario.scale,
        **{name: 0.0 if word is None else getattr(word, name) for name in ("shared", "late", "degraded", "signups")},
        "openings": np.array(scenario.openings()),
        "delay": NO_TIME if word is None else plain(word.delay.law),
    }


def of_spills(scenario: Scenario) -> dict[str, Any]:
    """Where requests go whose pool is behind."""
    names, spills = list(scenario.features), [feature.spill for feature in scenario.features.values()]
    return {
        "spill_to": padded([[names.index(o) for o in s.to] if s else [] for s in spills], -1, np.int64),
        "spill_weights": padded([s.weights if s else [] for s in spills], 0.0, np.float64),
        "spill_above": np.array([s.above if s else np.inf for s in spills]),
    }


def of_features(scenario: Scenario) -> dict[str, Any]:
    """Features as arrays."""
    features, specs = list(scenario.features.values()), scenario.specs()
    ladders = [[[specs.index(rung) for rung in ladder] for ladder in f.ladders().values()] for f in features]
    places = max(len(rows) for rows in ladders)
    deepest = max(len(row) for rows in ladders for row in rows)
    table = np.zeros((len(features), places, deepest), dtype=np.int64)
    for number, rows in enumerate(ladders):
        for place, row in enumerate(rows):
            table[number, place, : len(row)] = row
    meters = sorted(set(scenario.meters()))
    return {
        "feature_bounds": np.array(
            [np.cumsum(scenario.shares_of_features(region))[:-1] for region in scenario.demand.regions or [""]]
        ),
        **of_spills(scenario),
        "slo": np.array([f.slo for f in features]),
        "token_slo": np.array([[f.slo_first_token, f.slo_per_token] for f in features]),
        "image_bounds": padded([np.cumsum(list(f.images.values()))[:-1].tolist() for f in features], 2.0, np.float64),
        "image_counts": padded([list(f.ladders()) for f in features], 0, np.int64),
        "ladders": table,
        "rungs": np.array([len(rows[0]) for rows in ladders]),
        "meter": np.array([meters.index(meter) for meter in scenario.meters()]),
        "meters": len(meters),
        "pool_of": np.array([list(scenario.pools).index(f.pool) for f in features]),
    }
