"""A study as a figure: each prediction at its place between its bounds."""

import math

import numpy as np
import pandas as pd
import pytest

from sim.plots.bounds import bounds_figure, place
from tests.results import committed


@pytest.mark.parametrize(
    ("bounds", "where"),
    [
        ((5.0, 4.0, 6.0), 0.0),
        ((4.0, 4.0, 6.0), -1.0),
        ((6.0, 4.0, 6.0), 1.0),
        ((7.0, 4.0, 6.0), 2.0),
        ((3.0, 3.0, 3.0), 0.0),
        ((3.1, 3.0, 3.0), math.inf),
        ((9.0, 4.0, math.inf), 0.0),
        ((3.0, 4.0, math.inf), -math.inf),
    ],
)
def test_a_prediction_has_a_place_between_its_bounds(bounds, where):
    assert place(*bounds) == where


def test_every_held_figure_is_a_dot_and_every_miss_a_cross():
    table = committed("traces")[1]
    (ax,) = bounds_figure(table).axes
    dots, crosses = (np.asarray(found.get_offsets()) for found in ax.collections)
    held = table.dropna(subset=["predicted", "low"])
    assert len(crosses) == (table["fits"] == "MISSES").sum() > 0
    assert len(dots) == len(held) - len(crosses)
    assert np.all(np.abs(dots[:, 0]) <= 1.0)
    assert ax.get_title(loc="left") == f"{len(dots)} of {len(held)} within their bounds"
    assert [label.get_text() for label in ax.get_yticklabels()] == list(dict.fromkeys(held["case"]))


def test_a_study_that_holds_nothing_to_bounds_can_be_drawn():
    table = pd.DataFrame({"case": ["a"], "predicted": [1.0], "low": [math.nan], "high": [math.nan]})
    (ax,) = bounds_figure(table).axes
    assert "no figure" in ax.texts[0].get_text()
