"""Images done after their user has left: worth nothing, or, where they are delivered late, the end of the wish."""

import math

import pytest

from sim.engine.simulate import simulate
from sim.results.intents import intents
from sim.results.metrics import outcomes
from tests.random_scenarios import constant, plain

ENGINES = ("simpy", "compiled")


def two_people(*, late: bool, patience: float = 12.0, backoff: float = 30.0, **serving):
    """Two ask at once for an image of ten seconds from one GPU: the second would wait for twenty."""
    return plain(
        {"slow": constant(10.0)},
        horizon="5 min",
        demand=[{"kind": "spike", "people": 2, "lasting": "1 ms"}],
        behaviour={
            "patience": {"kind": "constant", "value": f"{patience} s"},
            "retry": {
                "at_most": 3,
                "probability": 1,
                "after_leaving": 1,
                "backoff": {"kind": "constant", "value": f"{backoff} s"},
            },
        },
        serving={"delivers_late": late, **serving},
    )


def two(engine, seed=1, **how):
    for number in range(seed, 100):  # the wave is Poisson's: a seed with two people
        run = simulate(two_people(**how), engine=engine, seed=number)
        if len(run.users) == 2:
            return run
    raise AssertionError("no seed with two people")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_late_image_fulfils_the_wish_of_who_waits_to_try_again(engine):
    run = two(engine, late=True)
    wishes = intents(run)
    assert wishes["outcome"].tolist() == ["served", "served"]
    assert wishes["attempts"].tolist() == [1, 1]
    assert wishes["latency"].tolist() == pytest.approx([10, 20], abs=0.01)
    assert run.requests["left"].isna().all()
    assert outcomes(run).loc["all", "abandoned"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_else_it_is_worth_nothing_and_they_ask_again(engine):
    run = two(engine, late=False)
    wishes = intents(run)
    assert wishes["attempts"].tolist() == [1, 2]
    assert wishes["latency"].tolist() == pytest.approx([10, 52], abs=0.01)  # 12 s of patience, 30 s, 10 s
    assert outcomes(run).loc["all", "abandoned"] == 1


@pytest.mark.parametrize("notices", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_who_waits_for_a_second_attempt_waits_no_longer_when_the_first_is_done(engine, notices):
    """The first begins at 10 s and is given up at 12 s; the second comes at 17 s, and waits until 20 s."""
    run = two(engine, late=True, backoff=5.0, notices_leaving=notices)
    second = run.requests[run.requests["user"] == run.requests["user"].iloc[1]]
    assert second["outcome"].tolist() == ["served", "abandoned"]
    assert second["left"].tolist()[1] == pytest.approx(20.0, abs=0.01)
    assert math.isnan(second["left"].tolist()[0])
    assert intents(run)["latency"].iloc[1] == pytest.approx(20.0, abs=0.01)
    assert not second["retry"].any()


@pytest.mark.parametrize("engine", ENGINES)
def test_who_has_given_up_for_good_gets_nothing(engine):
    scenario = two_people(late=True).document
    run = None
    for seed in range(1, 100):
        run = simulate(plain({"slow": constant(10.0)}, **hopeless(scenario)), engine=engine, seed=seed)
        if len(run.users) == 2:
            break
    assert run is not None
    assert intents(run)["outcome"].tolist() == ["served", "lost"]


def hopeless(document):
    """The same people, who never try again."""
    behaviour = {**document["behaviour"], "retry": {"at_most": 0}}
    return {**{k: document[k] for k in ("horizon", "demand", "serving")}, "behaviour": behaviour}
