"""A trigger: begins and ends a step of a playbook by what the gateway sees, as the on-call team would."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from sim.model.controls import Telemetry
from sim.policies.base import ROUNDING, Delay, OpenShare, passed
from sim.schema import Strict
from sim.units import Count, Rate, Seconds
from sim.wording import duration

OF_A_POOL = ("expected_wait", "utilisation", "queued")
NAMES = {
    "expected_wait": "expected wait of {pool}",
    "utilisation": "utilisation of {pool}",
    "queued": "requests queued in {pool}",
    "refused": "share of attempts refused",
    "attempts": "attempts",
}

Time = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]  # no time is under 0: a `below` of 0 would never end it
Number = Annotated[Count, Field(gt=0, allow_inf_nan=False)]
PerSecond = Annotated[Rate, Field(gt=0, allow_inf_nan=False)]


class Bounds(Strict):
    """The figure above which an alarm is raised, and the lower one under which it clears: between them it stays."""

    above: float
    below: float

    ascending = ("below", "above")


class Times(Bounds):
    """Bounds of a time."""

    above: Time
    below: Time


class Shares(Bounds):
    """Bounds of a share."""

    above: OpenShare  # no share is above 100 %
    below: OpenShare  # no share is above 100 %


class Counts(Bounds):
    """Bounds of a number, counted at full scale."""

    above: Number
    below: Number


class Rates(Bounds):
    """Bounds of a rate, at full scale."""

    above: PerSecond
    below: PerSecond


class Trigger(Strict):
    """When a step comes into force and when it ends, by one figure that the gateway sees at every control tick.

    An alarm is raised when the figure has been above `above` at every tick for the time `for`, and clears when it has
    been under `below` at every tick for the same time; between the two bounds it stays as it is. The step follows the
    alarm after `reaction`, both ways, because people begin it and people end it. They act on the alarm they were called
    for, whatever the figure is by then, unless the alarm has changed back in the meantime. After an end the step does
    not begin again before `cool_down` is over: it begins then, if the alarm is still raised and the reaction time is
    over. So it begins at most horizon / cool_down + 1 times. The figure is not watched before the step's `from`; its
    `until` ends the step at once.

    A step can hide the figure that began it: `refused` includes the refusals of a shedding step, which may keep itself
    in force that way; a bound on the queue keeps `queued` low.
    """

    expected_wait: Times | None = Field(
        default=None, description="wait of a request of the lowest priority that arrives now"
    )
    utilisation: Shares | None = Field(default=None, description="share of the pool's GPUs that are busy")
    queued: Counts | None = Field(default=None, description="requests waiting in the pool, at full scale")
    refused: Shares | None = Field(
        default=None, description="share of attempts refused since the tick before; 0 without attempts"
    )
    attempts: Rates | None = Field(default=None, description="rate of attempts since the tick before, at full scale")
    pool: str | None = Field(default=None, description="the pool whose wait, utilisation or queue is watched")
    for_: Delay = Field(default=0.0, alias="for", description="time for which the figure must be beyond its bound")
    reaction: Delay = Field(default=0.0, description="time from an alarm to the step, and from its end to the step's")
    cool_down: Seconds = Field(default=0.0, description="time after an end before it may begin again; 'never' for good")

    @model_validator(mode="after")
    def watches_one_figure(self) -> Self:
        given = [name for name in NAMES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a trigger watches one figure, of {', '.join(NAMES)}; here {', '.join(given) or 'none'}")
        if (self.pool is not None) != (self.watched in OF_A_POOL):
            said = "is that of a pool: name it under 'pool'" if self.pool is None else "is of no pool: leave 'pool' out"
            raise ValueError(f"{self.watched} {said}")
        return self

    @cached_property  # asked for at every tick
    def watched(self) -> str:
        """The name of the figure."""
        return next(name for name in NAMES if getattr(self, name) is not None)

    @property
    def bounds(self) -> Bounds:
        found: Bounds = getattr(self, self.watched)
        return found

    def figure(self, telemetry: Telemetry, scale: float, elapsed: float) -> float:
        """The figure it watches, at full scale: seconds, a share, a number or attempts per second.

        scale: the slice that is simulated. elapsed: seconds since the tick before, nan at the first tick, before which
        every count is 0. Raises BadInput where the scenario has no such pool.
        """
        if self.watched in ("refused", "attempts"):
            attempts = float(telemetry.arrivals.sum())
            if self.watched == "refused":
                return min(1.0, float(telemetry.refused.sum()) / attempts) if attempts > 0 else 0.0
            return attempts / elapsed / scale if elapsed > 0 else 0.0
        pool = telemetry.pool(self.pool or "")
        if self.watched == "utilisation":
            return pool.utilisation
        return pool.queued / scale if self.watched == "queued" else pool.expected_wait

    def written(self, figure: float) -> str:
        """A value of the figure in words."""
        if self.watched == "expected_wait":
            return duration(figure)
        if self.watched in ("utilisation", "refused"):
            return f"{100 * figure:.4g} %"
        number = f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
        return number + (" a second" if self.watched == "attempts" else "")


@dataclass
class Watch:
    """A trigger in a run: its alarm, and whether its step is in force. Times are in seconds, nan is never."""

    trigger: Trigger
    on: bool = False  # the step is in force
    ended: float = -math.inf  # when it last was
    raised: bool = False  # the alarm
    beyond: float = math.nan  # the first of the latest ticks at which the figure contradicted the alarm
    changed: float = math.nan  # when the alarm last changed
    why: str = ""  # the reason for it
    held: bool = False  # the cool-down has kept the step from following it

    def look(self, now: float, figure: float) -> str:
        """Take in the figure of this tick. Returns why the step begins or ends now, '' if it does neither."""
        self.update_alarm(now, figure)
        if self.raised == self.on or not passed(now, self.changed, self.trigger.reaction):
            return ""
        if self.raised and not passed(now, self.ended, self.trigger.cool_down):
            self.held = True
            return ""
        after = now - self.changed
        acted = f", acted on after {duration(after)}" if after > ROUNDING else ""
        return self.turned(now, self.why + acted + (", when the cool-down was over" if self.held else ""))

    def update_alarm(self, now: float, figure: float) -> None:
        """Raise or clear the alarm."""
        bounds, lasting = self.trigger.bounds, self.trigger.for_
        if not (figure < bounds.below if self.raised else figure > bounds.above):
            self.beyond = math.nan
            return
        if math.isnan(self.beyond):
            self.beyond = now
        if not passed(now, self.beyond, lasting):
            return
        side, bound = ("under", bounds.below) if self.raised else ("above", bounds.above)
        what = NAMES[self.trigger.watched].format(pool=self.trigger.pool)
        so_long = f" for {duration(now - self.beyond)}" if now > self.beyond else ""
        self.why = f"{what} {self.trigger.written(figure)} {side} {self.trigger.written(bound)}{so_long}"
        self.raised, self.changed, self.beyond, self.held = not self.raised, now, math.nan, False

    def close(self, now: float) -> str:
        """End the step, whatever the figure. Returns the reason, '' if the step is not in force."""
        return self.turned(now, "its 'until' is reached") if self.on else ""

    def turned(self, now: float, why: str) -> str:
        self.on = not self.on
        if not self.on:
            self.ended = now
        return why
