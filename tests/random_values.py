"""Hypothesis strategies for times and shares, of which random scenarios and their policies are made."""

import functools

from hypothesis import strategies as st


@functools.cache  # as all that is drawn from often: to build a strategy takes longer than to draw from it
def seconds(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(lambda n: f"{n} s")


@functools.cache
def shares(*names: str) -> st.SearchStrategy[dict[str, float]]:
    """Shares of these names that add up to one, in hundredths."""
    if len(names) == 1:
        return st.just({names[0]: 1.0})
    return st.integers(0, 100).map(lambda n: {names[0]: n / 100, names[1]: (100 - n) / 100})


TIMES = st.one_of(
    st.just({"kind": "never"}),
    seconds(0, 60).map(lambda value: {"kind": "constant", "value": value}),
    seconds(1, 60).map(lambda mean: {"kind": "exponential", "mean": mean}),
    seconds(1, 60).map(lambda median: {"kind": "lognormal", "median": median, "sigma": 1.5}),
    seconds(1, 60).map(lambda scale: {"kind": "weibull", "scale": scale, "shape": 0.7}),
    seconds(5, 60).map(lambda high: {"kind": "uniform", "low": "5 s", "high": high}),
)
PAUSES = TIMES.filter(lambda time: time["kind"] != "never")
