"""Studies that hold the simulator against what is known otherwise: each gives a table of predicted against actual."""

from collections.abc import Callable

from sim.parallel import Progress
from sim.validation import gentd26, live, overload, recorded_study, theory
from sim.validation.mlperf import replays
from sim.validation.study import Study

__all__ = ["OF_A_FILE", "STUDIES", "TOLD", "Study"]

# By the name that the command takes: what makes the study, given where to report the share that is done.
STUDIES: dict[str, Callable[[Progress | None], Study]] = {
    "theory": theory.study,
    "mlperf": replays,
    "overload": overload.study,
    "live": live.study,
}

# Those that can be made, or can only be made, of a file of one's own: given that as `file`.
OF_A_FILE: dict[str, Callable[..., Study]] = {
    "mlperf": replays,
    "traces": gentd26.study,
    "trace": recorded_study.study,
}

# What else such a study can be told: the names of its arguments.
TOLD: dict[str, tuple[str, ...]] = {"trace": ("map", "servers", "test_days")}
