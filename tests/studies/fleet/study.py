"""A recorded fleet, Alibaba's GenTD26: a day of 109 pods and 23 days of requests, against the simulator."""

from pathlib import Path

import numpy as np

from sim.engine.parallel import Progress
from sim.validation.study import Row, Study
from tests.studies.fleet.bursts import rows_of_bursts
from tests.studies.fleet.cold_starts import rows_of_loads
from tests.studies.fleet.files import Fleet, read_fleet, read_requests
from tests.studies.fleet.habits import rows_of_habits
from tests.studies.fleet.replay import dispatch_rows, utilisation_rows
from tests.studies.known import TRACES

MOST_R = 0.15  # between the inference and the load of one pod and minute, if the first does not hold the second


def fleet_study(progress: Progress | None = None, *, file: Path) -> Study:
    """The study of a folder with the recording's files. Raises BadInput for one that lacks them."""

    def done(share: float) -> None:
        if progress is not None:
            progress(share)

    fleet, requests = read_fleet(file), read_requests(file)
    rows = [*label_rows(fleet), *utilisation_rows(fleet)]
    done(0.15)
    rows += dispatch_rows(fleet, lambda share: done(0.15 + 0.35 * share))
    rows += rows_of_loads(fleet, requests)
    done(0.75)
    rows += [*rows_of_bursts(fleet), *rows_of_habits(requests)]
    done(1.0)
    return Study(
        name="traces",
        title="A recorded fleet",
        question="Are GPUs as busy, waits as short, loads as long and people as eager as in a recorded fleet?",
        source="Alibaba's GenTD26 (cluster-trace-v2026-GenAI in github.com/alibaba/clusterdata)",
        rows=rows,
        notes=[
            "The fleet was never short of GPUs: the record can refute a way of dispatching, not show how queues grow.",
            f"{fleet.loads_alone:,} loads lie in minutes in which their pod completed no job: they are not replayed.",
            *([f"{fleet.nameless:,} rows name no pod, and are left out."] if fleet.nameless else []),
            "The law of loads has its mean and p95 from this recording; its p50, and what it makes of cold starts in "
            "the recording's other half, are predictions.",
            "People's defaults, and the shipped scenario's, were fitted to this very recording: that they agree says "
            "that the simulator reproduces its inputs, not that other people behave in the same way.",
        ],
        known=TRACES,
    )


def label_rows(fleet: Fleet) -> list[Row]:
    """Whether the file of inference times holds what its name says, and not the time from end to end."""
    loaded = fleet.load > 0
    inference, load = fleet.inference[loaded], fleet.load[loaded]
    r = float(np.corrcoef(inference, load)[0, 1])
    shorter, note = float((inference < load).mean()), "end to end it could not be"
    return [
        Row("labels", "correlation of inference and load in a minute", "", 0.0, r, -MOST_R, MOST_R),
        Row("labels", "share of inference times shorter than their load", "", shorter, shorter, note=note),
    ]
