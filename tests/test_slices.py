"""A slice has a whole number of everything that is counted, or is refused; a verdict names what was simulated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import load, shipped
from sim.errors import BadInput
from sim.results.verdict import slice_sentences
from sim.scenario.slices import FEW_GPUS, as_ratio, divides, scales_that_divide
from tests.random_scenarios import plain


@pytest.mark.parametrize(
    ("gpus", "scale", "works"), [(8900, "1/6000", False), (9000, "1/6000", False), (8000, "1/500", True)]
)
def test_a_slice_of_gpus_that_do_not_divide_is_refused(gpus, scale, works):
    sets = {"pools.fleet.gpus": gpus, "scale": scale}
    if works:
        assert load("viral-image-launch", sets=sets).gpus("fleet") == 16
        return
    with pytest.raises(BadInput, match=r"expected: .* a 'scale' of 1/"):
        load("viral-image-launch", sets=sets)


@given(st.integers(1, 20_000), st.floats(1e-4, 1))
def test_the_scales_that_are_offered_work(gpus, scale):
    for text in scales_that_divide([gpus], scale):
        above, _, below = text.partition("/")
        assert divides(gpus, int(above) / int(below or 1))


def test_a_third_written_in_decimals_divides_and_a_rough_one_does_not():
    assert divides(3, 0.3333333333)
    assert not divides(3, 0.333)
    assert as_ratio(1 / 600) == "1/600"


@pytest.mark.parametrize(
    "policy",
    [
        {"kind": "queue bound", "requests": 5},
        {"kind": "limit", "requests": 7},
        {"kind": "scheduled capacity", "pool": "gpus", "gpus": 25},
        {"kind": "retry budget", "bucket": 1},
    ],
)
def test_bounds_and_fleets_of_policies_divide_too(policy):
    pools = {"gpus": {"gpus": 20}}
    plain(pools=pools, playbooks={"a": [{"policy": policy}]})  # the whole service
    with pytest.raises(BadInput, match=r"expected (a whole number|at least one)"):
        plain(pools=pools, playbooks={"a": [{"policy": policy}]}, scale="1/2")


def test_cells_divide():
    with pytest.raises(BadInput, match="do not divide into 3 cells"):
        plain(pools={"gpus": {"gpus": 8}}, cells=3, record="timeline")
    with pytest.raises(BadInput, match=r"cells\s+expected: 3 cells at scale 1/2"):
        plain(pools={"gpus": {"gpus": 8}}, cells=3, record="timeline", scale="1/2")


def test_first_looks_have_ten_gpus_or_more():
    for name in shipped.names("scenarios", ".yaml"):
        if "small" in load(name).overrides:
            small = load(name, override="small")
            assert min(small.gpus(pool) for pool in small.pools) >= FEW_GPUS, name


def test_the_verdict_names_the_gpus_that_were_simulated_and_warns_of_few():
    manifest = {"scale": 1 / 600, "pools": {"fleet": {"gpus": 10, "gpus_per_replica": 1, "gpus_in_full": 6000}}}
    assert slice_sentences(manifest) == [
        "A slice of 1/600 of people and GPUs was simulated: 10 of the 6 k GPUs of 'fleet'; counts are scaled up."
    ]
    few = {"scale": 1 / 6000, "pools": {"fleet": {"gpus": 1, "gpus_per_replica": 1, "gpus_in_full": 6000}}}
    assert "FEW GPUS" in slice_sentences(few)[1]
    assert "1/600 or more has 10" in slice_sentences(few)[1]
    assert not slice_sentences({"scale": 1.0, "pools": {"gpus": {"gpus": 4, "gpus_per_replica": 1, "gpus_in_full": 4}}})


@pytest.mark.parametrize(("count", "works"), [(100, True), (101, False), (129, False), (257, False)])
def test_no_more_tiers_than_a_byte_can_number(count, works):
    tiers = {f"t{number}": {"share": f"1/{count}"} for number in range(count)}
    if works:
        assert (
            len(plain(tiers=tiers | {"free": {"share": 0}} if count < 100 else {"free": None, **tiers}).tiers) == count
        )
    else:
        with pytest.raises(BadInput, match="100 entries at most"):
            plain(tiers={"free": None, **tiers})
