"""Studies that hold the simulator against what is known otherwise; `make validate` runs them, results in docs/results.

They use the package as anybody else would, and are no part of it.
"""

from sim.validation.study import Offer
from tests.studies.fleet import study as fleet_study
from tests.studies.live import study as live_study
from tests.studies.live import torch_study
from tests.studies.overload import study as overload_study
from tests.studies.theory import study as theory_study

STUDIES = {
    "theory": Offer(theory_study.study),
    "overload": Offer(overload_study.study),
    "live": Offer(live_study.study),
    "torch": Offer(torch_study.study, told=("device",)),
    "traces": Offer(fleet_study.study, file="must"),
}

# What 'all' means: what runs anywhere. torch is an extra, and traces are recordings to be fetched.
ALL = ("theory", "overload", "live")
