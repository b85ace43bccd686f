"""A worker on which only the latest wish of each asker counts: an older one ends where it is."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any


class Superseded(Exception):
    """Raised in work that nobody waits for any more."""


@dataclass
class Latest:
    """One thread that works on wishes in stages: a first, quick one of everybody before the second of anybody.

    work(wish, stage, go_on) makes a result and calls go_on() now and then; done(wish, stage, result) takes it, or the
    exception in its place; no result (None) needs no taking. A new wish of an asker ends the
    work on the one before and takes its place.
    """

    work: Callable[[Any, int, Callable[[], None]], Any]
    stages: int = 3
    waiting: dict[Hashable, tuple[int, Any, Callable[[Any, int, Any], None]]] = field(default_factory=dict, init=False)
    changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        threading.Thread(target=self.go, daemon=True, name="latest").start()

    def ask(self, asker: Hashable, wish: Any, done: Callable[[Any, int, Any], None]) -> None:
        """Wish for something, in place of what this asker wished for before."""
        with self.changed:
            self.waiting[asker] = (0, wish, done)
            self.changed.notify()

    def close(self) -> None:
        """Stop as soon as can be."""
        with self.changed:
            self.closed = True
            self.changed.notify()

    def go(self) -> None:
        """Work until closed."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting or self.closed)
                if self.closed:
                    return
                asker = min(self.waiting, key=lambda one: self.waiting[one][0])
                stage, wish, done = self.waiting.pop(asker)

            def go_on(asker: Hashable = asker, stage: int = stage) -> None:
                if self.closed or asker in self.waiting:
                    raise Superseded

            try:
                result = self.work(wish, stage, go_on)
            except Superseded:
                continue
            except Exception as failure:  # noqa: BLE001 - given to the asker, who shows it
                result = failure
            with self.changed:
                if self.closed or asker in self.waiting:
                    continue
                if stage + 1 < self.stages and result is not None and not isinstance(result, Exception):
                    self.waiting[asker] = (stage + 1, wish, done)
            if result is not None:
                done(wish, stage, result)
