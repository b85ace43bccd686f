"""Batches that close by themselves, before a GPU is free: renewal theory, and cases by hand."""

import numpy as np
import pytest
from scipy import stats

from sim.demand.recordings.trace import recording
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.random_scenarios import PLAIN, plain

AHEAD = {"closes": "when full or timed out"}


def replayed(came: list[float], service: float = 1.0, people=({}, {}), **pool) -> Run:
    """Requests at these instants. people: their behaviour, and how the service treats them, where not as usual."""
    document = {
        **PLAIN,
        "behaviour": {**PLAIN["behaviour"], **people[0]},
        "serving": {**PLAIN["serving"], **people[1]},
        "features": {"image": {**PLAIN["features"]["image"], "spec": {"model": "model"}}},
        "pools": {"gpus": {"gpus": 1, "max_batch": 4, **AHEAD, **pool}},
        "demand": {"kind": "trace", "file": "came"},
    }
    profiles = {"model": constant_profile("model", service, largest_batch=4)}
    return simulate(Scenario.from_dict(document, profiles=profiles, traces={"came": recording(np.array(came), "came")}))


@pytest.mark.parametrize(
    ("timer", "size", "delay"),
    [
        ("from the oldest", 3.08680439, 0.1202499476),
        ("from the last close", 2.411313256, 0.09755463617),
        ("from the last close, as polled", 2.915509055, 0.1168643582),
    ],
)
def test_sizes_and_delays_are_those_of_renewal_theory(timer, size, delay):
    """Poisson arrivals of 10 a second, full at 4, linger 0.25 s: exact sums over the arrivals in a renewal."""
    scenario = plain(
        {"model": constant_profile("model", 0.01, largest_batch=4)},
        horizon="2 h",
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": 50, "max_batch": 4, "linger": "0.25 s", "timer": timer, **AHEAD}},
        demand=[{"kind": "steady", "rate": "10 per s"}],
    )
    run = simulate(scenario)
    assert run.batches["size"].mean() == pytest.approx(size, rel=0.01)
    assert (run.requests["started"] - run.requests["arrived"]).mean() == pytest.approx(delay, rel=0.015)


@pytest.mark.parametrize(
    ("timer", "started"),
    [
        ("from the oldest", [1.5, 1.5, 6.5]),
        ("from the last close", [1.0, 2.0, 6.0]),
        ("from the last close, as polled", [1.0, 2.0, 6.0]),
    ],
)
def test_after_a_pause_a_batch_of_one_closes_at_once(timer, started):
    assert replayed([1.0, 1.4, 6.0], linger="0.5 s", timer=timer).requests["started"].tolist() == started


def test_a_closed_batch_stays_small_unless_others_may_join_it():
    """Service takes 10 s: the batch that times out at 2.5 s waits until 11.5 s, and two come meanwhile."""
    came = [1.0, 2.0, 3.0, 4.0]
    sizes = {
        late: replayed(came, 10.0, linger="0.5 s", late_joiners=late).batches["size"].tolist() for late in (False, True)
    }
    assert sizes == {False: [1, 1, 1, 1], True: [1, 3]}


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_while_no_gpu_is_in_service_control_ticks_close_nothing_anew(engine):
    """Two came at 1 s and closed; from 30 s on there is a GPU: the timer of the last close, at 1 s, is long over."""

    class LateGpu:
        def act(self, telemetry, controls):
            controls.set_pool(fleet=0 if telemetry.now < 30 else 1)

    scenario = plain(
        {"model": constant_profile("model", 1.0, largest_batch=2)},
        horizon="1 min",
        control_tick="10 s",
        features={"image": {"spec": {"model": "model"}}},
        pools={
            "gpus": {
                "gpus": 1,
                "dispatch": "random",
                "max_batch": 2,
                "linger": "25 s",
                "timer": "from the last close",
                **AHEAD,
            }
        },
        demand=[{"kind": "spike", "people": 2, "from": "1 s", "lasting": "1 ms"}],
    )
    run = simulate(scenario, [LateGpu()], engine=engine)
    assert run.batches["size"].tolist() == [1, 1]  # a hand-over at 20 s would have begun the timer anew: one of two


@pytest.mark.parametrize("wrong", [{"timer": "from the last close"}, {"late_joiners": True}])
def test_a_timer_of_its_own_needs_batches_that_close_by_themselves(wrong):
    with pytest.raises(BadInput, match="when full or timed out"):
        plain(pools={"gpus": wrong})


SLOTS = {"closes": "when a slot is free"}


def test_a_free_slot_closes_a_batch_which_then_waits_for_the_gpu():
    """A GPU that takes 10 s, one request a second: the second slot closes a batch of one, and at 11 s one of four."""
    came = [float(second) for second in range(1, 8)]
    rows = {late: replayed(came, 10.0, **SLOTS, late_joiners=late).batches for late in (False, True)}
    assert rows[False][["started", "size"]].to_numpy().tolist() == [[1, 1], [11, 1], [21, 4], [31, 1]]
    assert rows[True][["started", "size"]].to_numpy().tolist() == [[1, 1], [11, 4], [21, 2]]
    three = replayed(came, 10.0, **SLOTS, slots=3).batches
    assert three[["started", "size"]].to_numpy().tolist() == [[1, 1], [11, 1], [21, 1], [31, 4]]


def test_a_slot_waits_for_a_batch_to_fill_as_long_as_it_may_linger():
    """Alone a request starts after 2 s; the third of three that fill a batch starts it; a busy GPU changes neither."""
    rows = replayed([1.0, 20.0, 20.5, 21.0, 21.5, 22.0], 10.0, **SLOTS, linger="2 s").requests["started"]
    assert rows.tolist() == [3.0, 21.5, 21.5, 21.5, 21.5, 31.5]


def chain(rate: float, *, late: bool) -> tuple[float, float]:
    """Mean wait and mean batch of a GPU with two slots, batches of up to two, exponential times of mean 1.

    States are (requests in the closed batch, others that wait); the first one is that of an idle GPU.
    """
    most, idle = 150, (-1, 0)
    states = [idle, *((closed, others) for closed in range(3) for others in range(most))]
    at, q = {state: place for place, state in enumerate(states)}, np.zeros((len(states), len(states)))

    def moves(state, to, speed):
        q[at[state], at[to]] += speed
        q[at[state], at[state]] -= speed

    moves(idle, (0, 0), rate)
    for closed, others in states[1:]:
        joins = closed == 0 or (late and closed == 1 and others == 0)
        to = (closed + 1, others) if joins else (closed, min(others + 1, most - 1))
        moves((closed, others), to, rate)
        taken = min(others, 2)
        moves((closed, others), (taken, others - taken) if closed else idle, 1.0)
    q[:, 0] = 1.0
    shares = np.linalg.solve(q.T, np.eye(len(states))[0])
    waiting = sum(share * (state[0] + state[1]) for share, state in zip(shares[1:], states[1:], strict=True))
    return waiting / rate, rate / (1 - shares[0])


@pytest.mark.parametrize("late", [False, True])
def test_two_slots_have_the_waits_and_batches_of_their_chain(late):
    wait, size = chain(1.3, late=late)
    scenario = plain(
        {"model": constant_profile("model", 1.0, largest_batch=2)},
        horizon="1 h",
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": 1, "max_batch": 2, "late_joiners": late, **SLOTS}},
        demand=[{"kind": "steady", "rate": "1.3 per s"}],
        serving={"noise": {"kind": "exponential"}},
    )
    runs = [simulate(scenario, seed=seed) for seed in range(1, 13)]
    waits = [(run.requests["started"] - run.requests["arrived"]).mean() for run in runs]
    sizes = [run.batches["size"].mean() for run in runs]
    for found, expected in ((waits, wait), (sizes, size)):
        assert abs(np.mean(found) - expected) < 3.5 * stats.sem(found) < 0.15 * expected


@pytest.mark.parametrize(
    "options", [{"slots": 1}, {"slots": 2, "late_joiners": True}, {"slots": 5, "late_joiners": True}]
)
def test_one_slot_or_late_joiners_are_a_batch_that_a_free_gpu_closes(options):
    """Path by path: with one slot by definition; with late joiners since only the last closed batch is not full."""
    came = np.cumsum(np.random.default_rng(7).exponential(0.3, 400)).tolist()
    pool = {"gpus": 3, "service": 2.0}
    one, other = replayed(came, **pool, closes="when a GPU is free"), replayed(came, **pool, **SLOTS, **options)
    assert other.requests["started"].tolist() == one.requests["started"].tolist()
    assert (replayed(came, **pool, **SLOTS).requests["started"] != one.requests["started"]).any()


def test_a_closed_batch_that_everybody_left_gives_its_slot_back():
    """All wait for 2 s. The one of 2 s leaves its slot at 4 s, so at 10 s a batch of one closes, and runs from 11 s."""
    leaving = {"patience": {"kind": "constant", "value": "2 s"}}, {"notices_leaving": True}
    rows = replayed([1.0, 2.0, 10.0, 10.5], 10.0, leaving, **SLOTS).batches
    assert rows[["started", "size"]].to_numpy().tolist() == [[1, 1], [11, 1]]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({**SLOTS, "timer": "from the last close"}, "a free slot closes batches"),
        ({**SLOTS, "dispatch": "random"}, "one queue for all GPUs"),
        ({"slots": 3}, "nothing has slots"),
        ({**SLOTS, "runs": "threads"}, "forms no batches"),
    ],
)
def test_slots_are_of_batches_in_one_queue(wrong, said):
    with pytest.raises(BadInput, match=said):
        plain(pools={"gpus": wrong})
