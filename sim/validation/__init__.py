"""Studies that hold the simulator against what is known otherwise: each gives a table of predicted against actual."""

from collections.abc import Callable

from sim.parallel import Progress
from sim.validation import live
from sim.validation.study import Study

__all__ = ["STUDIES", "Study"]

# By the name that the command takes: what makes the study, given where to report the share that is done.
STUDIES: dict[str, Callable[[Progress | None], Study]] = {"live": live.study}
