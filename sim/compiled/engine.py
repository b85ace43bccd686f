"""The compiled engine as the control process meets it: it is advanced to now, looked at, and its knobs are set."""

import math

import numpy as np

from sim.clock import CONTROL
from sim.compiled.advance import FULL, advance
from sim.compiled.line import length_of_line, let_in
from sim.compiled.pools import expected_wait
from sim.compiled.setting import referred_setting, setting_of
from sim.compiled.state import (
    BATCH,
    BATCHES,
    GATE_OPEN,
    MOMENTS,
    NONE,
    PEOPLE,
    PERSON,
    REQUEST,
    REQUESTS,
    ROOM,
    SIGNUPS,
    State,
    fresh_state,
    grown,
    referred,
    with_room,
)
from sim.controls import LAST, Controls, PoolTelemetry, Telemetry, read_only
from sim.demand.people import Asks, People
from sim.log import Columns, Log
from sim.request import OUTCOMES, UNFINISHED
from sim.scenario import Scenario


class CompiledEngine:
    """One run in progress."""

    def __init__(
        self, scenario: Scenario, people: People, asks: Asks, controls: Controls, seed: int, *, unlimited: bool = False
    ):
        self.scenario, self.controls, self.now = scenario, controls, 0.0
        self.lots = 0.0  # people the waitlist may let in before the next tick
        self.setting = referred_setting(setting_of(scenario, asks, people.source, seed, unlimited=unlimited))
        meters, gpus = len(set(scenario.meters())), [scenario.gpus(name) for name in scenario.pools]
        sizes = len(scenario.pools), len(scenario.specs()), len(scenario.tiers), len(scenario.features)
        self.hold(with_people(fresh_state(*sizes, meters, gpus), people, len(scenario.demand.waves)))
        for pool, name in enumerate(scenario.pools):
            self.state.pace[pool, : gpus[pool]] = scenario.paces(name, seed)
        self.refresh()

    def hold(self, state: State) -> None:
        """Go on with these arrays."""
        self.state, self.ref = state, referred(state)

    def advance(self, until: float) -> None:
        """Play every moment before the control tick at `until`."""
        self.play(until, CONTROL)

    def play(self, until: float, kind: int) -> None:
        until = float(until)  # SimPy's clock begins at a whole 0, for which numba would compile everything once more
        while advance(self.ref, self.setting, self.knobs, until, kind) == FULL:
            self.hold(with_room(self.state))
        self.now = until

    def refresh(self) -> None:
        self.knobs = self.controls.knobs.copy()
        self.state.n[GATE_OPEN] = self.controls.signup_rate == math.inf

    def take_over(self) -> None:
        """The knobs are set: they hold from now on, and a new control interval begins."""
        self.refresh()
        s = self.state
        for counts in (s.arrivals, s.refused, s.served, s.started, s.waited):
            counts[:] = 0.0
        s.n[SIGNUPS] = 0

    def let_in(self, seconds: float) -> None:
        """Let in those whose turn it is in the `seconds` until the next tick; what is left over is not saved up."""
        rate = self.controls.signup_rate
        lots = self.lots % 1.0 + rate * seconds if rate < math.inf else math.inf
        waiting = int(length_of_line(self.ref))
        if len(self.state.heap) < self.state.n[MOMENTS] + waiting + ROOM:
            self.hold(
                self.state._replace(heap=grown(self.state.heap, int(self.state.n[MOMENTS]), spare=waiting + ROOM))
            )
        left = let_in(self.ref, lots, self.now)
        self.lots = left if left < math.inf else 0.0

    def telemetry(self) -> Telemetry:
        """What a policy may see now, counts since the tick before."""
        s = self.state
        pools = {
            name: PoolTelemetry(
                int(s.gpus[pool]),
                int(s.gpus[pool] - s.idle_count[pool]),
                int(s.queued[pool]),
                float(expected_wait(self.ref, self.setting, pool, LAST)),
            )
            for pool, name in enumerate(self.scenario.pools)
        }
        return Telemetry(
            now=self.now,
            pools=pools,
            arrivals=read_only(s.arrivals),
            refused=read_only(s.refused),
            served=read_only(s.served),
            waited=read_only(s.waited),
            started=read_only(s.started),
            signups=int(s.n[SIGNUPS]),
            waitlisted=int(length_of_line(self.ref)),
        )

    def log(self) -> Log:
        """All that happened before the horizon."""
        self.play(self.scenario.horizon, 0)
        s = self.state
        requests = columns(s.requests[: s.n[REQUESTS]], REQUEST)
        requests["outcome"] = np.where(requests["outcome"] == NONE, OUTCOMES.index(UNFINISHED), requests["outcome"] - 1)
        batches = columns(s.batches[: s.n[BATCHES]], BATCH)
        return Log(requests, batches, columns(s.people[: s.n[PEOPLE]], PERSON), s.gpus.tolist())


def with_people(state: State, people: People, first_script: int) -> State:
    """The state with everybody who is known beforehand."""
    n = len(people)
    state.n[PEOPLE] = n
    state = with_room(state)
    rows = state.people[:n]
    rows["key"], rows["arrives"], rows["born"] = people.key, people.arrives, people.arrives - people.account_age
    rows["source"], rows["tier"], rows["region"] = people.source, people.tier, people.region
    rows["newcomer"], rows["invited_by"] = people.newcomer, -1
    rows["admitted"] = np.where(people.source >= first_script, people.arrives, math.nan)
    rows["left"] = math.nan
    return state


def columns(records: np.ndarray, kind: np.dtype) -> Columns:
    """Records as columns."""
    assert kind.names is not None
    return {name: records[name] for name in kind.names}
