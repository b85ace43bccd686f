"""Draws by name: the published generator, uniform, independent in every coordinate, and blind to order."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.model.streams import FEATURE, PATIENCE, THINK, draw, draws, normal, pair, philox, series, uniform

N = 20_000


def words(*values: int) -> tuple[np.uint64, ...]:
    return tuple(np.uint64(value) for value in values)


# kat_vectors of Random123, "philox2x64 7": counter, key, output.
@pytest.mark.parametrize(
    ("counter", "key", "output"),
    [
        ((0, 0), 0, (0xB41DA69FBFEFC666, 0x511E9CE1A5534056)),
        ((2**64 - 1, 2**64 - 1), 2**64 - 1, (0xA4696CC04462015D, 0x724782DAE17169E9)),
        (
            (0x243F6A8885A308D3, 0x13198A2E03707344),
            0xA4093822299F31D0,
            (0x98ED1534392BF372, 0x67528B1568882FD5),
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, output):
    assert tuple(int(word) for word in philox(*words(*counter, key))) == output


def test_a_draw_puts_seed_entity_stream_and_k_where_it_says():
    seed, entity = 0x299F31D0A4093822, 0x113198A2E
    first, second = (int(word) for word in philox(*words(entity, (THINK << 32) + 77, seed)))
    assert pair(seed, THINK, entity, 77) == (((first >> 12) + 0.5) / 2**52, ((second >> 12) + 0.5) / 2**52)
    assert draw(seed, THINK, entity, 77) == pair(seed, THINK, entity, 77)[0]


def test_the_smallest_and_the_largest_word_give_numbers_within_0_and_1():
    assert uniform(np.uint64(0)) == 2.0**-53
    assert uniform(np.uint64(2**64 - 1)) == 1 - 2.0**-53


@pytest.mark.parametrize("word", ["entity", "stream and k", "seed"])
def test_a_bit_of_any_name_that_changes_changes_each_random_bit_half_the_time(word):
    place, trials = ["entity", "stream and k", "seed"].index(word), 500
    flips = np.zeros((64, 128))
    for trial in range(trials):
        name = [trial, (THINK << 32) + 7, 3]
        before = philox(*words(*name))
        for bit in range(64):
            other = [*name]
            other[place] ^= 1 << bit
            changed = np.array(before, dtype=np.uint64) ^ np.array(philox(*words(*other)), dtype=np.uint64)
            flips[bit] += np.unpackbits(changed.view(np.uint8))
    z = (flips - trials / 2) / math.sqrt(trials / 4)
    assert np.abs(z).max() < 5.5  # 8,192 of them: one as large once in 3,000 times
    assert stats.kstest(stats.chi2.sf((z**2).sum(axis=1), 128), "uniform").pvalue > 0.0005


@pytest.mark.parametrize("seed", range(5))
def test_draws_are_uniform(seed):
    values = draws(seed, THINK, np.arange(N), 0)
    assert values.min() > 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 0.0005


def test_uniform_over_k_and_over_entities_of_many_waves():
    assert stats.kstest(series(3, THINK, 8, 0, N), "uniform").pvalue > 0.0005
    entities = (np.arange(N, dtype=np.int64) % 7 << 40) + np.arange(N)
    assert stats.kstest(draws(3, THINK, entities, 0), "uniform").pvalue > 0.0005


@pytest.mark.parametrize(
    "other",
    [
        lambda: draws(1, PATIENCE, np.arange(N), 0),  # another stream
        lambda: draws(2, THINK, np.arange(N), 0),  # another seed
        lambda: draws(1, THINK, np.arange(N), 1),  # the next k
        lambda: draws(1, THINK, np.arange(1, N + 1), 0),  # the neighbour
        lambda: np.array([pair(1, THINK, i, 0)[1] for i in range(N)]),  # the second of the pair
    ],
)
def test_draws_of_different_names_are_independent(other):
    mine, theirs = draws(1, THINK, np.arange(N), 0), other()
    assert abs(np.corrcoef(mine, theirs)[0, 1]) * math.sqrt(N) < 3.5
    table = np.histogram2d(mine, theirs, bins=8, range=[[0, 1], [0, 1]])[0]
    assert stats.chi2_contingency(table).pvalue > 0.0005


def test_no_draw_depends_on_the_order_in_which_it_is_asked_for():
    order = np.random.default_rng(0).permutation(500)
    assert np.array_equal(draws(1, FEATURE, order, 3), draws(1, FEATURE, np.arange(500), 3)[order])
    assert draw(1, FEATURE, 250, 3) == draws(1, FEATURE, np.arange(500), 3)[250]


def test_names_do_not_collide():
    grid = [draw(s, st, e, k) for s in range(5) for st in range(15) for e in range(20) for k in range(5)]
    assert len(set(grid)) == len(grid)


def test_normal_has_the_moments_of_a_normal():
    values = np.array([normal(1, THINK, i, 0) for i in range(N)])
    assert abs(values.mean()) * math.sqrt(N) < 3.5
    assert abs(values.var() - 1) / math.sqrt(2 / N) < 3.5
    assert abs((values**3).mean()) / math.sqrt(15 / N) < 3.5
    assert stats.kstest(values, "norm").pvalue > 0.0005


def test_a_series_is_the_draws_one_after_the_other():
    assert series(4, THINK, 9, 5, 3).tolist() == [draw(4, THINK, 9, k) for k in (5, 6, 7)]
    assert len(series(4, THINK, 9, 5, 0)) == 0


def test_a_series_longer_than_32_bits_does_not_begin_again():
    values = series(4, THINK, 9, 2**32 - 2, 4)
    assert values[:2].tolist() == [draw(4, THINK, 9, 2**32 - 2), draw(4, THINK, 9, 2**32 - 1)]
    assert values[2:].tolist() == [draw(4, THINK, 9 + 2**32, 0), draw(4, THINK, 9 + 2**32, 1)]
    assert not set(values[2:]) & set(series(4, THINK, 9, 0, 2))


def test_the_largest_seed_and_entity_can_be_drawn():
    assert 0 < draw(2**63 - 1, THINK, (2**22 << 40) + 5, 2**32 - 1) < 1
