"""SimPy's clock with events at absolute times, which settles ties at one instant in one fixed order."""

from collections.abc import Callable
from heapq import heappush
from typing import Any

from simpy import Environment, Event

# The order of events at one instant; within one kind, the lower number comes first.
COMPLETION, LINGER, CONTROL, ABANDON, ASK, SIGNUP, JOIN = range(1, 8)


class Clock(Environment):
    """A SimPy environment; what succeed() triggers at an instant still comes before that instant's `at` events."""

    def at(self, time: float, kind: int, number: int, then: Callable[[Event], Any] | None = None) -> Event:
        """An event at `time` seconds. `then` is called with it, before any process that waits for it."""
        event = Event(self)
        event._ok, event._value = True, None
        if then is not None:
            event.callbacks.append(then)
        # schedule() takes a delay, and now + (time - now) need not be time.
        heappush(self._queue, (time, (kind << 60) + number, next(self._eid), event))  # type: ignore[misc]
        return event
