"""The compiled engine as the control process drives it: advance it to a tick, look at it, set its knobs."""

import math

import numpy as np
from numpy.typing import NDArray

from sim.engine.clock import CONTROL
from sim.engine.compiled.advance import FULL, advance, keep_the_rest
from sim.engine.compiled.constants import Constants, constants_of, expected_attempts
from sim.engine.compiled.crowd import add_known, add_scripted
from sim.engine.compiled.gateway import TOKENS
from sim.engine.compiled.handing_over import dissolve, hand_over, wake_all
from sim.engine.compiled.log_columns import (
    batch_columns,
    kept_columns,
    killed_columns,
    people_columns,
    request_columns,
)
from sim.engine.compiled.losses import doom
from sim.engine.compiled.pool import expected_wait, resize
from sim.engine.compiled.records import (
    ACTIVE,
    BATCHES,
    CHURNED,
    GATE_OPEN,
    GAVE_UP_WAITING,
    INVITED,
    KEPTS,
    KILLS,
    LET_IN,
    LIMITERS,
    LINE_HEAD,
    LINE_TAIL,
    PEAK,
    PEOPLE,
    REQUESTS,
    SIGNUPS,
    SLACK,
    USERS,
)
from sim.engine.compiled.replicas import look_about
from sim.engine.compiled.room import (
    SPARE,
    roomy,
    slack,
    with_chunks,
    with_formed,
    with_queues,
    with_room,
    with_stays,
)
from sim.engine.compiled.state import State, fresh_state, rows_of
from sim.engine.compiled.tally import close
from sim.engine.compiled.users import schedule_script
from sim.engine.compiled.view import View
from sim.engine.compiled.waitlist import length_of_line, let_in
from sim.model.controls import LAST, Controls, PoolTelemetry, Telemetry, read_only
from sim.model.gateway import FIRST_SLOT, LIMITER, forget
from sim.model.knobs import BUCKET, BUDGET, FLEET, KIND, LOST, NOTICE, QUOTA, SLIDING
from sim.model.losses import RUNS, hit
from sim.model.retry import carried_over
from sim.results.log import Log
from sim.results.timeline import Timeline, grid
from sim.scenario.parts import Recording
from sim.scenario.people import Asks, People
from sim.scenario.scenario import Scenario

Floats = NDArray[np.float64]


class CompiledEngine:
    """One run in progress. A GPU is a replica here, as in the readable engine's pool."""

    def __init__(
        self,
        scenario: Scenario,
        people: People,
        asks: Asks,
        controls: Controls,
        seed: int,
        recording: Recording,
        *,
        unlimited: bool = False,
    ):
        self.scenario, self.controls, self.recording, self.now = scenario, controls, recording, 0.0
        self.lots = 0.0  # people the waitlist may let in before the next tick
        self.taken_over = b""  # the values of the knobs in force
        self.constants = constants_of(scenario, people, asks, seed, recording, unlimited=unlimited)
        self.constants_ref = View(self.constants)
        self.hold(initial_state(scenario, self.constants, len(people)))
        self.seed, self.paced = seed, [0] * len(scenario.pools)  # GPUs whose pace is known
        self.per_replica = [pool.gpus_per_replica for pool in scenario.pools.values()]
        self.losses = [0] * len(scenario.pools)  # how often GPUs were lost with what they ran
        for pool, name in enumerate(scenario.pools):
            self.paced[pool] = gpus = scenario.replicas(name)
            self.know(pool, name, 0, gpus)
        add_known.direct(self.ref, self.constants_ref)
        add_scripted.direct(self.ref, self.constants_ref)
        if len(asks.instants):
            schedule_script.direct(self.ref, self.constants_ref, 0)
        self.refresh()

    def compile_all(self) -> None:
        """Have all machine code that a run may need, not only that of its first tick."""
        now = 0.0
        for function, arguments in (
            (schedule_script, (0,)),
            (resize, (0, 0, now)),
            (dissolve, (0, 0, 0)),
            (hand_over, (0, 0, now)),
            (wake_all, (0, now)),
            (look_about, (0, now)),
            (doom, (0, 0, now)),
            (slack, ()),
            (let_in, (0.0, now)),
            (keep_the_rest, ()),
        ):
            function.prepare(self.ref, self.constants_ref, *arguments)
        length_of_line.prepare(self.ref)

    def hold(self, state: State) -> None:
        """Continue with these arrays."""
        before = getattr(self, "ref", None)
        self.state = state
        if before is not None and before.fits(state):  # the same machine code takes it
            before.show(state)
            return
        self.ref = View(state)

    def make_room(self) -> None:
        self.hold(with_room(self.state, self.constants))

    def advance(self, until: float) -> None:
        """Play every moment before the control tick at `until`."""
        self.play(until, CONTROL)

    def play(self, until: float, kind: int) -> None:
        until = float(until)  # SimPy's clock begins at a whole 0, for which everything would be compiled once more
        while advance.direct(self.ref, self.constants_ref, until, kind) == FULL:
            self.make_room()
        self.now = until

    def refresh(self) -> bool:
        """Take over the knobs. Returns whether any has changed."""
        values = self.controls.values.tobytes()
        if values == self.taken_over:
            return False
        self.taken_over = values
        self.state.knobs[:] = self.controls.knobs
        self.state.pool_knobs[:] = self.controls.pools
        self.state.region_open[:] = self.controls.regions
        before, now = self.state.retries.copy(), self.controls.retries
        self.state.retries[:-1] = now
        self.state.retries[TOKENS] = carried_over.direct(before[BUDGET], now[BUDGET], before[TOKENS], now[BUCKET])
        self.state.n[GATE_OPEN] = self.controls.signup_rate == math.inf
        sliding = (self.state.knobs[:, :, KIND] == SLIDING) & (self.state.knobs[:, :, QUOTA] < math.inf)
        if self.state.limiters.shape[1] < LIMITER and sliding.any():  # which few need, and is three times as long
            wide = rows_of(len(self.state.limiters), LIMITER + 1)
            wide[:, FIRST_SLOT:] = -math.inf
            wide[:, :FIRST_SLOT] = self.state.limiters[:, :FIRST_SLOT]
            self.hold(self.state._replace(limiters=wide))
        return True

    def take_over(self) -> None:
        """The knobs are set: they hold from now on, and a new control interval begins."""
        lost = self.controls.pools[:, LOST] - self.state.pool_knobs[:, LOST]
        changed = self.refresh()
        s = self.state
        for counts in (s.arrivals, s.refused, s.granted, s.served, s.started, s.waited, s.latency):
            counts[:] = 0.0
        s.n[SIGNUPS] = 0
        if not changed:  # so no pool has other GPUs than it had
            return
        before = s.gpus.tolist()
        for pool, name in enumerate(self.scenario.pools):
            hit = self.hit(pool, int(lost[pool]) // self.per_replica[pool])
            self.resize(pool, name)
            self.doom(pool, hit)
        for pool in np.flatnonzero(self.constants.apart & (self.state.gpus < before)).tolist():
            while not wake_all.direct(self.ref, self.constants_ref, pool, self.now):
                self.make_room()

    def hit(self, pool: int, lost: int) -> list[int]:
        """The GPUs whose work is lost with this number of them."""
        s, gpus = self.state, int(self.state.gpus[pool])
        if lost <= 0 or self.constants.unlimited:
            return []
        if self.constants.many[pool]:
            at_work = (s.replicas["stays"][pool, :gpus] > 0) & (s.replicas["doomed"][pool, :gpus] == 0)
        else:
            at_work = np.ones(gpus, dtype=bool)
            if self.constants.apart[pool]:
                queues = self.constants.first_queue[pool] + self.constants.queue_step[pool] * np.arange(gpus)
                at_work = s.outstanding[pool, :gpus] > s.waits[queues]
            else:
                at_work[s.idle[pool, : s.idle_count[pool]]] = False
            at_work[at_work] = s.batches["fate"][s.on[pool, :gpus][at_work]] == RUNS
        self.losses[pool] += 1
        unlike = bool(list(self.scenario.pools.values())[pool].kinds)
        found: list[int] = hit(at_work, lost, self.seed, pool, self.losses[pool], unlike=unlike).tolist()
        return found

    def doom(self, pool: int, gpus: list[int]) -> None:
        """What these GPUs run is stopped when their notice is over."""
        until = self.now + float(self.state.pool_knobs[pool, NOTICE])
        for gpu in gpus:
            if slack.direct(self.ref, self.constants_ref) <= 0:
                self.make_room()
            doom.direct(self.ref, self.constants_ref, pool, gpu, until)
        if gpus and self.constants.many[pool]:
            self.make_room()
            look_about.direct(self.ref, self.constants_ref, pool, self.now)
        self.state.n[SLACK] = 0

    def resize(self, pool: int, name: str) -> None:
        """Have as many GPUs in service as the knob says, in steps: each GPU may put a moment on the calendar."""
        fleet, before = self.state.pool_knobs[pool, FLEET], int(self.state.gpus[pool])
        wanted = self.scenario.replicas(name) if math.isinf(fleet) else int(fleet) // self.per_replica[pool]
        changed = wanted != before and not self.constants.unlimited
        none, many = before == 0, self.constants.many[pool]
        if changed and self.constants.apart[pool] and none and not many:
            self.hand_over(pool, name, 0, 1, wanted)  # before the GPUs look
        while (now := int(self.state.gpus[pool])) != wanted and not self.constants.unlimited:
            following = min(wanted, now + SPARE // 2)
            self.prepare(pool, name, following)
            resize.direct(self.ref, self.constants_ref, pool, following, self.now)
        if changed and self.constants.apart[pool]:
            if none and many:
                self.hand_over(pool, name, 0, 1, wanted)
            elif wanted < before:
                self.hand_over(pool, name, max(wanted, 1), before, wanted)
        elif changed and many:
            look_about.direct(self.ref, self.constants_ref, pool, self.now)
        self.state.n[SLACK] = 0

    def prepare(self, pool: int, name: str, gpus: int) -> None:
        """Have room for this number of GPUs, and know how fast they are."""
        self.hold(with_room(self.state, self.constants, gpus))
        if gpus > (known := self.paced[pool]):
            self.know(pool, name, known, gpus)
            self.paced[pool] = gpus

    def know(self, pool: int, name: str, first: int, last: int) -> None:
        """Write down how fast GPUs first, ..., last - 1 are: the row of their times, and the factor on them."""
        gpus, c = range(first, last), self.constants
        self.state.pace[pool, first:last] = [self.scenario.pace(name, gpu, self.seed) for gpu in gpus]
        self.state.table[pool, first:last] = c.tables[pool][[self.scenario.kind_of(name, gpu) for gpu in gpus]]

    def hand_over(self, pool: int, name: str, first: int, last: int, gpus: int) -> None:
        """Send those who wait for GPUs first, ..., last - 1 to the first `gpus` ones."""
        self.prepare(pool, name, gpus)
        dissolve.direct(self.ref, self.constants_ref, pool, first, last)
        while not hand_over.direct(self.ref, self.constants_ref, pool, gpus, self.now):
            self.make_room()

    def let_in(self, seconds: float) -> None:
        """Let in the people whose turn comes in the `seconds` until the next tick; unused room is not saved up."""
        rate = self.controls.signup_rate
        lots = self.lots % 1.0 + rate * seconds if rate < math.inf else math.inf
        while self.waiting():
            lots = let_in.direct(self.ref, self.constants_ref, lots, self.now)
            if lots < 1 or not self.waiting():
                break
            self.make_room()  # more of them than the calendar could take
        self.state.n[SLACK] = 0
        self.lots = lots if lots < math.inf else 0.0

    def waiting(self) -> int:
        """People on the waitlist now."""
        n = self.state.n
        return int(length_of_line.direct(self.ref)) if n[LINE_HEAD] < n[LINE_TAIL] else 0

    def telemetry(self) -> Telemetry:
        """The telemetry that a policy may see now; counts are since the tick before."""
        s = self.state
        pools = {
            name: PoolTelemetry(
                self.per_replica[pool] * int(s.gpus[pool]),
                self.per_replica[pool] * int(s.running[pool]),
                int(s.queued[pool]),
                int(s.inside[pool]),
                float(expected_wait.direct(self.ref, self.constants_ref, pool, LAST)),
            )
            for pool, name in enumerate(self.scenario.pools)
        }
        arrivals, refused, served, waited, started, latency = read_only(
            (s.arrivals, s.refused, s.served, s.waited, s.started, s.latency)
        )
        return Telemetry(
            now=self.now,
            pools=pools,
            arrivals=arrivals,
            refused=refused,
            served=served,
            waited=waited,
            started=started,
            latency=latency,
            signups=int(s.n[SIGNUPS]),
            waitlisted=self.waiting(),
            active=int(s.n[ACTIVE]),
        )

    def log(self) -> Log:
        """All that happened before the horizon."""
        self.play(self.scenario.horizon, 0)
        s, n = self.state, self.state.n
        close.direct(self.ref, self.constants_ref, int(n[BATCHES]), int(n[PEOPLE]))
        if self.recording.sampled > 0:
            while keep_the_rest.direct(self.ref, self.constants_ref):
                self.make_room()
            s = self.state
        rows = self.recording.rows
        if rows:
            requests = request_columns(s, self.constants, int(n[REQUESTS]))
        else:
            requests = kept_columns(s, self.constants, int(n[KEPTS]))
        batches = batch_columns(s, int(n[BATCHES]) if rows else 0)
        people = people_columns(s, int(n[USERS]) if rows else 0)
        gpus = [self.scenario.replicas(name) for name in self.scenario.pools]
        return Log(
            requests,
            batches,
            people,
            s.gpus.tolist() if self.constants.unlimited else gpus,
            self.timeline(),
            killed_columns(s, int(n[KILLS])),
        )

    def timeline(self) -> Timeline:
        s, n = self.state, self.state.n
        by_cell = len(self.scenario.tiers), len(self.scenario.features)
        return Timeline(
            edges=grid(self.scenario.horizon),
            counts=s.counts.reshape(len(s.counts), *by_cell, -1).astype(np.int64),
            seconds=s.seconds.reshape(len(s.seconds), *by_cell, -1),
            queue=s.queue,
            signups=s.signups.astype(np.int64),
            latencies=s.latencies.reshape(len(s.latencies), *by_cell, -1),
            joules=joules(self.scenario, self.constants, s.busy),
            peaks=np.column_stack([s.peaks[:, PEAK:], s.queued]),
            people={
                "came": int(s.signups.sum()),
                "let_in": int(n[LET_IN]),
                "lost": int(n[GAVE_UP_WAITING]),
                "invited": int(n[INVITED]),
                "churned": int(n[CHURNED]),
                "everybody": int(n[USERS]),
            },
        )


def initial_state(scenario: Scenario, c: Constants, users: int) -> State:
    """The state of a run before its first moment."""
    state = fresh_state(
        len(scenario.pools),
        len(c.spec_images),
        len(scenario.tiers),
        len(scenario.features),
        [scenario.replicas(name) for name in scenario.pools],
        len(scenario.demand.regions),
        buckets=int(c.buckets_a_second * scenario.horizon) + 2,
        bins=len(c.edges) - 1,
        largest=c.seconds.shape[2] - 1,
        times=len(c.seconds),
        rows=c.rows,
        sampled=c.sampled > 0,
        delivers=c.delivers_late,
        ahead=bool(c.ahead.any()),
        apart=bool(c.apart.any()),
        together=int(c.most[c.many].max(initial=0)),
        tokens=scenario.counts_tokens,
    )
    state.idle_count[c.many] = 0
    scripted = len(c.arrives) - len(c.arriving)  # whose accounts are there from the start
    state = state._replace(people=roomy(state.people, 0, scripted + SPARE))
    state = with_room(with_chunks(state, 4096), c)
    if c.rows:  # room for what is likely to come: untouched memory costs nothing, moving it does
        attempts = int(expected_attempts(scenario, users, len(c.ask_times)))
        state = state._replace(
            past=roomy(state.past, 0, users + SPARE),
            requests=roomy(state.requests, 0, attempts),
            batches=roomy(state.batches, 0, attempts),
        )
        state = with_queues(with_formed(with_stays(state)), c, int(state.gpus.max()))
    state.n[LIMITERS] = 1
    forget.direct(state.limiters[0])  # stands for users without limits
    return state


def joules(scenario: Scenario, c: Constants, busy: Floats) -> Floats:
    """The energy of busy GPUs in each pool, J; nan where a profile that was used has no power."""
    specs, used = scenario.specs(), np.zeros(len(scenario.pools))
    for row, spec, size in np.argwhere(busy > 0).tolist():
        pool = row if row < len(used) else int(np.argmax((c.tables == row).any(axis=1)))
        kinds = np.flatnonzero(c.tables[pool] == row)  # of a mean GPU, without limits, none: as the last one
        profile = scenario.profile_on(list(scenario.pools)[pool], kinds[0] if len(kinds) else -1, specs[spec].model)
        used[pool] += busy[row, spec, size] * profile.power(specs[spec], size)
    return used
