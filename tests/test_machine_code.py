"""Machine code in files is what numba would call, is whole or made again, and needs no numba to be called."""

import math
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.engine.compiled.view import View
from sim.model.choices import time_until_next
from sim.model.jit import njit
from sim.model.streams import draw, draws, series


class Shelf(NamedTuple):
    """What a View shows here: each kind of value that constants and states of a run have."""

    number: int
    share: float
    open: bool
    law: tuple[int, float, float]
    table: NDArray[np.int32]
    flags: NDArray[np.bool_]


SHELF = Shelf(7, 0.25, True, (3, 0.5, 2.0), np.arange(6, dtype=np.int32).reshape(2, 3), np.array([False, True]))


@njit
def sum_of(shelf):
    kind, a, b = shelf.law
    total = shelf.number + shelf.share + kind + a + b + (1.0 if shelf.open else 0.0)
    for i in range(shelf.table.shape[0]):
        for j in range(shelf.table.shape[1]):
            total += shelf.table[i, j] * (10.0 if shelf.flags[i] else 1.0)
    return total


@njit
def second_row(shelf):
    return float(shelf.table[1][-1])  # a part of an array may be indexed from its end


@njit
def write_down(shelf, number):
    shelf.table[1, 2] = number


@njit
def gamma_of(x):
    return math.gamma(x)


@njit
def inverse(x):
    if x == 0:
        raise ValueError
    return 1 / x


@njit
def twice(x):
    return 2 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for machine code."""
    monkeypatch.setattr("sim.model.jit.cached_in", lambda: tmp_path)
    return tmp_path


def test_a_run_loads_no_numba_once_its_machine_code_is_made():
    """Of a scenario with failures, and of one with clients and GPUs that run steps."""
    code = """
import sys
from sim import load, simulate
failures = {"kind": "failures", "pool": "gpus", "mtbf": "1 h", "mttr": "10 min"}
simulate(load("steady", sets={"always": [{"policy": failures}]}))
simulate(load("chat-beside-images", sets={"horizon": "5 min"}))
print("numba" in sys.modules)
"""
    for _ in range(2):
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert said.strip() == "False"


def test_called_directly_a_function_gives_what_it_gives_through_numba():
    arguments = (0.1, 1, 2.0, 3.0, 1, 2.0, 3.0, 1, 2, 3)
    assert time_until_next.direct(*arguments) == time_until_next(*arguments)
    assert draw.direct(5, np.int64(2), 3, 4) == draw(5, 2, 3, 4)
    assert series(5, 2, 3, 4, 2).tolist() == [draw(5, 2, 3, 4), draw(5, 2, 3, 5)]
    assert draws(5, 2, np.array([3, 8]), 4).tolist() == [draw(5, 2, 3, 4), draw(5, 2, 8, 4)]


def test_a_view_shows_numbers_tuples_and_arrays_and_lets_arrays_be_written(folder):
    view = View(SHELF)
    assert sum_of.direct(view) == 7 + 0.25 + 3 + 0.5 + 2.0 + 1.0 + (0 + 1 + 2) + 10 * (3 + 4 + 5)
    assert second_row.direct(view) == 5
    write_down.direct(view, 11)
    assert SHELF.table[1, 2] == 11
    write_down.direct(view, 5)
    longer = SHELF._replace(table=np.ones((2, 4), dtype=np.int32))
    assert view.fits(longer)
    view.show(longer)
    assert sum_of.direct(view) == 13.75 + 4 + 10 * 4
    assert not view.fits(SHELF._replace(table=np.ones((2, 4))))


def test_half_a_file_of_machine_code_is_made_again(folder):
    assert twice.prepare(3)([3]) == 6
    [file] = folder.iterdir()
    whole = file.read_bytes()
    for part in (b"", whole[:20], whole[:-1]):
        file.write_bytes(part)
        twice.codes.clear()
        assert twice.direct(4) == 8
        assert file.read_bytes().partition(b"\n")[0] == whole.partition(b"\n")[0]


def test_without_a_folder_machine_code_is_made_in_the_process(monkeypatch):
    monkeypatch.setattr("sim.model.jit.cached_in", lambda: None)
    twice.codes.clear()
    assert twice.direct(5.5) == 11.0


def test_what_only_numba_has_is_refused_when_machine_code_is_made(folder):
    with pytest.raises(RuntimeError, match="numba_gamma, which only numba has"):
        gamma_of.direct(3.0)
    assert not list(folder.iterdir())


def test_an_error_in_machine_code_is_an_error(folder):
    assert inverse.direct(4) == 0.25
    with pytest.raises(RuntimeError, match="ended with status"):
        inverse.direct(0)
