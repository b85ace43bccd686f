"""A user's own data held against the simulator: each study gives a table of predicted against actual."""

from sim.validation import load_test, mlperf
from sim.validation.own_queue import queue_study
from sim.validation.study import Offer

__all__ = ["STUDIES"]

# By the name that the command takes.
STUDIES = {
    "loadtest": Offer(load_test.load_test_study, file="must", options=("scenario",)),
    "mlperf": Offer(mlperf.mlperf_study, file="may"),
    "trace": Offer(queue_study.queue_study, file="must", options=("map", "drop", "servers", "test_days", "split")),
}
