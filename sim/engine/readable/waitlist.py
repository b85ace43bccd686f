"""The readable engine's signup gate: newcomers wait behind it, are let in at the rate policies set, or give up."""

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from simpy import Event

from sim.engine.clock import ABANDON, ASK, Clock
from sim.engine.readable.crowd import Crowd
from sim.model.chance import sample
from sim.model.controls import Controls
from sim.model.streams import WAITLIST


@dataclass(eq=False)
class Newcomer:
    """Someone on the waitlist."""

    let_in: Event
    gone: bool = False


class Waitlist:
    """First come, first served; newcomers whose patience runs out leave for good."""

    def __init__(self, env: Clock, controls: Controls, crowd: Crowd, seed: int):
        self.env, self.controls, self.crowd, self.seed = env, controls, crowd, seed
        self.line: deque[Newcomer] = deque()
        self.lots = 0.0  # people it may let in before the next tick

    def passes(self, user: int, key: int) -> Generator[Event, Any, bool]:
        """Pass the signup gate, or wait on the list behind it. Whether the person got in."""
        if self.controls.signup_rate == math.inf and not self.line:
            return True
        entry = Newcomer(self.env.event())
        self.line.append(entry)
        law = self.crowd.habit[user].behaviour.waitlist_patience.law
        patience = sample(*law, self.seed, WAITLIST, key, 0)
        if patience < math.inf:
            self.env.at(self.env.now + patience, ABANDON, user, lambda _: self.give_up(entry))
        yield entry.let_in
        if entry.gone:
            return False
        yield self.env.at(self.env.now, ASK, user)  # those let in together ask one after the other, GPUs between
        return True

    def give_up(self, entry: Newcomer) -> None:
        """A newcomer's patience is over."""
        if not entry.let_in.triggered:
            entry.gone = True
            entry.let_in.succeed()

    def length(self) -> int:
        """People on the list now."""
        while self.line and self.line[0].gone:
            self.line.popleft()
        return sum(not entry.gone for entry in self.line)

    def let_in(self, seconds: float) -> None:
        """Let in the people whose turn comes in the `seconds` until the next tick; unused room is not saved up."""
        rate = self.controls.signup_rate
        lots = self.lots % 1.0 + rate * seconds if rate < math.inf else math.inf
        while self.line and lots >= 1:
            entry = self.line.popleft()
            if not entry.gone:
                entry.let_in.succeed()
                lots -= 1
        self.lots = lots if lots < math.inf else 0.0
