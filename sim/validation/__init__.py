"""Studies that hold the simulator against what is known otherwise: each gives a table of predicted against actual."""

from collections.abc import Callable

from sim.validation import gentd26, live, mlperf, overload, recorded_study, theory, torch_live
from sim.validation.study import Study

__all__ = ["ALL", "OF_A_FILE", "STUDIES", "TOLD", "Study"]

# By the name that the command takes: what makes the study, given where to report the share that is done.
STUDIES: dict[str, Callable[..., Study]] = {
    "theory": theory.study,
    "mlperf": mlperf.study,
    "overload": overload.study,
    "live": live.study,
    "torch": torch_live.study,
}

# What 'all' means: what runs anywhere. torch is an extra.
ALL = ("theory", "mlperf", "overload", "live")

# Those that can be made, or can only be made, of a file of one's own: given that as `file`.
OF_A_FILE: dict[str, Callable[..., Study]] = {
    "mlperf": mlperf.study,
    "traces": gentd26.study,
    "trace": recorded_study.study,
}

# What else a study can be told: the names of its arguments.
TOLD: dict[str, tuple[str, ...]] = {"trace": ("map", "servers", "test_days"), "torch": ("device",)}
