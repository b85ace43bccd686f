"""Timelines of a run: counted while it ran and from its rows, and the spans in which a pool is saturated."""

import numpy as np

from sim.results.intents import window_of
from sim.results.metrics import pool_timeline, stretches
from sim.results.run import Run
from sim.results.timeline import Timeline

SUMS = 1e-9  # what sums of seconds in another order may differ by, relative to themselves


def assert_same_timeline(found: Timeline, expected: Timeline) -> None:
    assert found.people == expected.people
    np.testing.assert_array_equal(found.edges, expected.edges)
    for name, counted in expected.arrays().items():
        if counted.dtype.kind == "i":
            np.testing.assert_array_equal(found.arrays()[name], counted, err_msg=name)
        elif name == "peaks":  # where nobody waited there is nothing to drain
            some = expected.peaks[:, 0] > 0
            np.testing.assert_array_equal(found.peaks[some], expected.peaks[some])
            assert (found.peaks[~some][:, [0, 3]] == expected.peaks[~some][:, [0, 3]]).all()
        else:
            np.testing.assert_allclose(found.arrays()[name], counted, rtol=SUMS, atol=SUMS, err_msg=name)


def saturated_spans(run: Run, pool: str, width: float | None = None) -> list[tuple[float, float]]:
    """The spans after the warm-up, (from, until) in seconds, in which a pool is saturated."""
    return stretches(pool_timeline(run, pool, width, begin=window_of(run, None)[0])["saturated"], run.horizon)
