"""A queue's calls, one by one, through the readable engine: what the replay of a log is held against."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

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

NUMBER = (1 << SOURCE_SHIFT) - 1  # bits of a person's key that are not the source


@dataclass
class Roster:
    """A policy that keeps as many GPUs in service as servers are on duty."""

    duty: Any

    def act(self, telemetry, controls):
        controls.set_pool(list(controls.pool_names), fleet=int(self.duty.at(np.array([telemetry.now]))[0]))


class Callers(Users):
    """People who call once and hang up when their patience is over, unless they are being served."""

    def __init__(self, *given: Any, patience):
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

    def __init__(self, *given: Any, served, **more: Any):
        self.served_in = served
        super().__init__(*given, **more)

    def seconds(self, head: Request, size: int, pool: Pool, gpu: int) -> float:
        return float(self.served_in[self.crowd.key[head.user] & NUMBER])


def played_by_engine(calls, duty):
    """Seconds in the queue of each call, and whether it hung up; calls may also be in the queue at the end (nan)."""
    run = simulate(
        queue_scenario(calls.arrived, calls, duty),
        [Roster(duty)],
        engine="simpy",
        users=partial(Callers, patience=calls.patience),
        service=partial(Desks, served=calls.served),
    )
    rows = run.requests.sort_values("user", kind="stable")
    outcome, started, left = (rows[name].to_numpy() for name in ("outcome", "started", "left"))
    gone = np.where(outcome == ABANDONED, left, started).astype(np.float64)
    served = (outcome == SERVED) | ~np.isnan(started)
    return gone - rows["arrived"].to_numpy(dtype=np.float64), outcome == ABANDONED, served


def queue_scenario(times, calls, duty):
    """One pool whose fleet the roster sets, batches of one; the horizon is after all work, where anybody is on duty."""
    document: dict[str, Any] = {
        "title": "recorded queue",
        "horizon": f"{float(times[-1]) + 4 * 3600!r} s",
        "control_tick": "600 s",
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
