"""The compiled engine's retry budget: what has been saved up stands beside its knobs."""

from sim.jit import njit
from sim.knobs import (
    BUCKET,
    BUDGET,
    NO_BUDGET,
    RATIO,
    RETRY_KNOBS,
)

TOKENS = len(RETRY_KNOBS)


@njit
def deposit(s):  # type: ignore[no-untyped-def]
    """Pay into the retry budget."""
    s.retries[TOKENS] = min(s.retries[TOKENS] + s.retries[RATIO], s.retries[BUCKET])


@njit
def pays_for_retry(s):  # type: ignore[no-untyped-def]
    """Whether the retry budget, where there is one, has a retry left; it is taken out."""
    if s.retries[BUDGET] == NO_BUDGET:
        return True
    if s.retries[TOKENS] < 1.0:
        return False
    s.retries[TOKENS] -= 1.0
    return True
