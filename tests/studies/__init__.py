"""Studies that compare the simulator with what is known independently; `make validate` runs them.

Their results are in docs/results. They use the package as any user would, and are not part of it.
"""

from sim.validation.study import Offer
from tests.studies.batcher.study import batcher_study
from tests.studies.calibrate.study import calibration_study
from tests.studies.fleet.study import fleet_study
from tests.studies.foresight import foresight_study
from tests.studies.live.study import live_study
from tests.studies.live.torch_study import torch_study
from tests.studies.overload.study import overload_study
from tests.studies.peers.study import peers_study
from tests.studies.sight import sight_study
from tests.studies.theory.study import theory_study

STUDIES = {
    "theory": Offer(theory_study, file="may"),
    "sight": Offer(sight_study, options=("cases",)),
    "peers": Offer(peers_study),
    "overload": Offer(overload_study),
    "live": Offer(live_study, options=("cases", "seeds", "quick")),
    "batcher": Offer(batcher_study),
    "calibrate": Offer(calibration_study),
    "foresight": Offer(foresight_study),
    "torch": Offer(torch_study, options=("device",)),
    "traces": Offer(fleet_study, file="must"),
}

# The studies that run anywhere: torch is an extra, and the recordings of traces must be downloaded.
ALL = ("theory", "overload", "live")
