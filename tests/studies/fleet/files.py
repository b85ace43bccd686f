"""A recorded fleet as arrays: the files of Alibaba's GenTD26, minute by minute for each pod, and request by request."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.columns import read_columns
from sim.tables.times import timestamps

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What a row's value is, by file. The publisher's README calls pipeline_inference end to end, but it is often shorter
# than the load in the same pod and minute, and gives the GPU's duty: it is inference alone.
INFERENCE, LOAD = "pipeline_inference_data_anon.csv", "pipeline_update_latency_anon.csv"
BASE, LORA = "basemodel_update_latency_anon.csv", "lora_update_latency_anon.csv"
QUEUE_TIME, QUEUE_SIZE = "queue_rt_raw_anon.csv", "queue_size_raw_anon.csv"
DUTY, REQUESTS = "pod_gpu_duty_cycle_anon.csv", "lora_request_trace.csv"
FILES = (INFERENCE, LOAD, BASE, LORA, QUEUE_TIME, QUEUE_SIZE, DUTY, REQUESTS)
PUBLISHED = "the files of cluster-trace-v2026-GenAI, published at github.com/alibaba/clusterdata"

NOT_NEGATIVE = "a number, 0 or more"
TICK = 57.0  # seconds between two minutes: 24 h were compressed by 0.95
SCRIPT = "G2578"  # a program: 150 requests in four minutes
FIELDS = {  # of the request recording
    "gmt_create": "created",
    "exec_time_seconds": "sojourn",
    "groupId": "user",
    "predict_status": "status",
    "num_images_per_prompt": "images",
    "num_inference_steps": "steps",
    "num_lora": "loras",
    "checkpoint_model_version_id": "model",
}


@dataclass(frozen=True)
class Fleet:
    """A day of a fleet, by the minute.

    duty: float64 (minutes,), share of their time that the GPUs of all pods were busy. pods: (minutes,), how many
    reported. minute, inference, load: (jobs,), when a pod completed a job, the seconds it computed, and those it loaded
    models before in the same minute, 0 where none. base, lora: seconds of each load of a base model and of a LoRA.
    queue_time: seconds at the gateway; queue_size: requests waiting there. loads_alone: loads in minutes without a job;
    nameless: rows that name no pod, left out.
    """

    duty: Floats
    pods: Ints
    minute: Ints
    inference: Floats
    load: Floats
    base: Floats
    lora: Floats
    queue_time: Floats
    queue_size: Floats
    loads_alone: int
    nameless: int

    @property
    def servers(self) -> int:
        """Pods that reported in an average minute."""
        return round(float(self.pods.mean()))


def missing(folder: Path) -> None:
    """Raises BadInput for a folder that lacks one of the files."""
    if not folder.is_dir():
        raise BadInput("there is no such folder", file=folder, expected=PUBLISHED)
    for name in FILES:
        if not (folder / name).is_file():
            raise BadInput("this folder lacks a file of the recording", file=folder / name, expected=PUBLISHED)


def by_pod_minute(folder: Path, name: str, first: float) -> tuple[pd.Series, int]:
    """A file's values by (minute, pod), the first of each, and the number of rows that name no pod, which are left out.

    Minutes are counted from the instant `first`. Raises BadInput for instants between two minutes, or before the first.
    """
    columns = read_columns(folder / name, ("timestamp_anon", "value", "container_ip"))
    minute = (columns["timestamp_anon"].numbers(NOT_NEGATIVE, low=0) - first) / TICK
    off = (minute < 0) | (np.abs(minute - minute.round()) > 1e-6)
    expected = f"{first:.0f}, and every {TICK:g} s from there"
    columns["timestamp_anon"].refuse(off, expected, "an instant is no minute of the recording")
    named = ~columns["container_ip"].match("^(NULL)?$")
    pods = columns["container_ip"].keep(named).texts.to_pylist()
    index = pd.MultiIndex.from_arrays([minute[named].round().astype(int), pods])
    values = pd.Series(columns["value"].numbers(NOT_NEGATIVE, low=0)[named], index=index)
    return values[~values.index.duplicated()], int((~named).sum())


def numbers_of(path: Path, name: str) -> Floats:
    """One column of a file, numbers from 0 up."""
    return read_columns(path, (name,))[name].numbers(NOT_NEGATIVE, low=0)


def read_fleet(folder: Path) -> Fleet:
    """The fleet's day in a folder. Raises BadInput for files that are missing, or are not the recording's."""
    missing(folder)
    first = float(numbers_of(folder / DUTY, "timestamp_anon").min())
    read = {name: by_pod_minute(folder, name, first) for name in (DUTY, INFERENCE, LOAD, BASE, LORA, QUEUE_TIME)}
    series = {name: values for name, (values, _) in read.items()}
    for name, values in series.items():
        if not len(values):
            raise BadInput("no row names a pod", file=folder / name, key="container_ip", expected="pods")
    duty, jobs, loads = (series[name] for name in (DUTY, INFERENCE, LOAD))
    minutes = int(duty.index.get_level_values(0).max()) + 1
    at = duty.index.get_level_values(0).to_numpy()
    pods = np.bincount(at, minlength=minutes)
    jobs = jobs.sort_index(level=0, sort_remaining=False, kind="stable")
    return Fleet(
        duty=np.bincount(at, duty.to_numpy(), minutes) / np.maximum(pods, 1) / 100.0,
        pods=pods,
        minute=jobs.index.get_level_values(0).to_numpy().astype(np.int64),
        inference=jobs.to_numpy() / 1000.0,
        load=loads.reindex(jobs.index).fillna(0.0).to_numpy() / 1000.0,
        base=series[BASE].to_numpy() / 1000.0,
        lora=series[LORA].to_numpy() / 1000.0,
        queue_time=series[QUEUE_TIME].to_numpy() / 1000.0,
        queue_size=numbers_of(folder / QUEUE_SIZE, "value"),
        loads_alone=int((~loads.index.isin(jobs.index)).sum()),
        nameless=sum(nameless for _, nameless in read.values()),
    )


def read_requests(folder: Path) -> pd.DataFrame:
    """The requests in a folder, in order of time.

    Columns: created and ended (seconds from the first), sojourn, user, status, images, steps, loras, model, and before:
    the number in the system when this one comes. Raises BadInput as above.
    """
    missing(folder)
    columns = read_columns(folder / REQUESTS, FIELDS)
    created = timestamps(columns["gmt_create"].texts)
    columns["gmt_create"].refuse(~created.known, "2024-11-15 16:57:50")
    instants = created.instants - created.instants.min()
    texts = ("groupId", "predict_status", "checkpoint_model_version_id")
    found = pd.DataFrame({FIELDS[name]: columns[name].texts.to_pylist() for name in texts}).replace("", np.nan)
    for name in ("num_images_per_prompt", "num_inference_steps", "num_lora"):
        found[FIELDS[name]] = columns[name].numbers(missing=True)
    found["created"] = instants / 1e9
    found["sojourn"] = columns["exec_time_seconds"].numbers(NOT_NEGATIVE, low=0)
    found = found.sort_values("created", kind="stable").reset_index(drop=True)
    found["ended"] = found["created"] + found["sojourn"]
    over = np.searchsorted(np.sort(found["ended"].to_numpy()), found["created"].to_numpy(), side="right")
    return found.assign(before=np.arange(len(found)) - over)
