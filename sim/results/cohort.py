"""What became of all requests that were wanted: parts that add up to the whole."""

import numpy as np

from sim.model.request import SERVED
from sim.results.intents import LOST, intents
from sim.results.metrics import outcomes
from sim.results.run import Run

WANTED, IN_TIME, IN_TIME_DEGRADED, LATE = "wanted", "in time", "in time, degraded", "late"
REFUSED, LEFT, UNFINISHED = "refused", "left", "unfinished"


def cohort(run: Run) -> dict[str, float]:
    """Requests at full scale: all that were wanted, and the parts into which they fall; parts without any are left out.

    in time and in time, degraded: served within the SLO, at the spec asked for or a cheaper one. late: served after
    it. refused, left: lost, by how the last attempt ended. unfinished: at the horizon. Without every row of a run, its
    timeline does not say how a lost request ended, nor which of those in time are degraded: then there are 'in time',
    'late', 'lost' and 'unfinished'.
    """
    found = from_rows(run) if run.has_rows else from_timeline(run)
    return {part: count / run.scale for part, count in found.items() if count or part in (WANTED, IN_TIME)}


def from_rows(run: Run) -> dict[str, float]:
    """The parts of the simulated slice, each request counted once."""
    wishes = intents(run)
    in_time, degraded = wishes["in_time"].to_numpy(), wishes["degraded"].to_numpy()
    served, lost = (wishes["outcome"] == SERVED).to_numpy(), (wishes["outcome"] == LOST).to_numpy()
    refused = wishes["reason"].notna().to_numpy()
    parts = {
        IN_TIME: in_time & ~degraded,
        IN_TIME_DEGRADED: in_time & degraded,
        LATE: served & ~in_time,
        REFUSED: lost & refused,
        LEFT: lost & ~refused,
        UNFINISHED: ~served & ~lost,
    }
    return {WANTED: float(len(wishes)), **{part: float(np.count_nonzero(mask)) for part, mask in parts.items()}}


def from_timeline(run: Run) -> dict[str, float]:
    """The parts that the timeline counts."""
    c = outcomes(run).to_dict("records")[0]
    late = c["served"] - c["in_time"]
    parts = {WANTED: c["intents"], IN_TIME: c["in_time"], LATE: late, LOST: c["lost"], UNFINISHED: c["unfinished"]}
    return {part: float(count) for part, count in parts.items()}
