"""A queue's arrivals, services and patience, one by one, through the readable engine."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.demand.recordings.trace import recording
from sim.engine.clock import ABANDON
from sim.engine.readable.pool import Pool
from sim.engine.readable.service import Service
from sim.engine.readable.users import Users
from sim.engine.simulate import simulate
from sim.model.request import ABANDONED, SERVED, Request
from sim.model.streams import SOURCE_SHIFT
from sim.profile.profile import constant_profile
from sim.scenario.scenario import Scenario
from sim.tables.times import Floats
from sim.validation.own_queue.queue_times import DAY
from sim.validation.own_queue.staffing import OnDuty, Roster, Shifts

NUMBER = (1 << SOURCE_SHIFT) - 1  # bits of a person's key that are not the source


@dataclass(frozen=True)
class Calls:
    """Calls, float64 (n,) each, in seconds: arrival (ascending), service time, patience (inf: no limit)."""

    arrived: Floats
    served: Floats
    patience: Floats


@dataclass(frozen=True)
class Played:
    """Outcomes of calls: seconds in the queue (nan: still in it at the end), whether abandoned, whether served."""

    waited: Floats
    abandoned: NDArray[np.bool_]
    served: NDArray[np.bool_]


class Callers(Users):
    """People who call once and hang up when their patience is over, unless they are being served."""

    def __init__(self, *given: Any, patience: Floats):
        self.patience = patience
        super().__init__(*given)

    def want(self, user: int, ask: int, feature: int, images: int, *, again: bool = True) -> Any:
        """One call."""
        request = self.service.ask(user, feature, images, ask, 0)
        patience = float(self.patience[self.crowd.key[user] & NUMBER])
        if patience < np.inf:
            self.env.at(self.env.now + patience, ABANDON, user, partial(self.left_waiting, request))
        yield request.done
        return request

    def left_waiting(self, request: Request, _: Any) -> None:
        if np.isnan(request.started):
            self.service.leave(request)


class Desks(Service):
    """A service with a given service time for each call."""

    def __init__(self, *given: Any, served: Floats, **more: Any):
        self.served_in = served
        super().__init__(*given, **more)

    def seconds(self, head: Request, size: int, pool: Pool, gpu: int) -> float:
        return float(self.served_in[self.crowd.key[head.user] & NUMBER])


def play_calls(calls: Calls, duty: OnDuty, begins: float) -> Played:
    """The calls from `begins` on (seconds, a midnight at which nobody is there), first come, first served."""
    if not len(calls.arrived):
        return Played(np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=bool))
    shifted = calls.arrived - begins
    run = simulate(
        queue_scenario(shifted, calls, duty, begins),
        [Shifts(Roster(duty, begins))],
        engine="simpy",
        users=partial(Callers, patience=calls.patience),
        service=partial(Desks, served=calls.served),
    )
    rows = run.requests.sort_values("user", kind="stable")
    outcome, started, left = (rows[name].to_numpy() for name in ("outcome", "started", "left"))
    abandoned, was_served = outcome == ABANDONED, outcome == SERVED
    gone = np.where(abandoned, left, started).astype(np.float64)
    return Played(gone - rows["arrived"].to_numpy(dtype=np.float64), abandoned, was_served | ~np.isnan(started))


def queue_scenario(times: Floats, calls: Calls, duty: OnDuty, begins: float) -> Scenario:
    """One pool whose fleet the roster sets, batches of one; the horizon is after all work, where anybody is on duty."""
    work = float(calls.served.sum()) / max(1, int(duty.servers[-1]))
    document: dict[str, Any] = {
        "title": "recorded queue",
        "horizon": f"{float(times[-1]) + work + 2 * DAY!r} s",
        "control_tick": f"{duty.tick(begins)} s",
        "record": "rows",
        "tiers": {"all": {"share": 1}},
        "features": {"call": {"share": 1, "pool": "desks", "slo": "1 min", "spec": {"model": "call"}}},
        "pools": {"desks": {"gpus": max(1, int(duty.servers.max())), "max_batch": 1}},
        "demand": {"kind": "trace", "file": "arrivals"},
        "behaviour": {"patience": {"kind": "never"}},
        "serving": {"noise": {"kind": "none"}, "notices_leaving": True},
    }
    trace = recording(times, "a recorded queue", user=np.arange(len(times)))
    profiles = {"call": constant_profile("call", 1.0)}
    return Scenario.from_dict(document, profiles=profiles, traces={"arrivals": trace})
