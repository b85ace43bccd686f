"""A policy that turns every knob there is, at random, at every tick; and what it saw at each."""

import dataclasses
from typing import Any

import numpy as np

from sim.model.controls import Controls, Telemetry


class Restless:
    """Turns knobs at random; the same ones at the same tick of the same number."""

    def __init__(self, number: int):
        self.number = number

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.dice = np.random.default_rng([self.number, int(telemetry.now * 1000)])
        for pool in controls.pool_names:
            self.turn_pool(pool, controls)
        for tier in controls.tiers:
            for feature in controls.features:
                self.turn_gateway({"tiers": [tier], "features": [feature]}, controls)
        if self.perhaps(0.5):
            kinds = ("own", "none", "exponential", "full jitter", "equal jitter", "decorrelated jitter")
            controls.set_retries(backoff=self.one(*kinds), base=3, cap=20, most=self.number_to(4))
        if self.perhaps(0.3):
            controls.set_retries(after=10, spread=10)
        if controls.region_names and self.perhaps(0.5):
            controls.set_regions(controls.region_names[:1], open=0.5)

    def turn_pool(self, pool: str, controls: Controls) -> None:
        if self.perhaps(0.6):
            controls.set_pool([pool], fleet=self.one(0, 1, 2, 3, 5, 8))
        if self.perhaps(0.3):
            controls.set_pool([pool], slowdown=self.one(0.5, 2), power=0.7)
        if self.perhaps(0.6):
            flows = {"queues": self.one(4, 7, 128), "hand": self.one(1, 2, 3)}
            controls.set_pool([pool], sharing=self.one("flows", "users"), **flows)
        if self.perhaps(0.5):
            controls.set_pool([pool], order=self.one("last in first out", "shortest first"))
        if self.perhaps(0.2):
            controls.set_pool([pool], expire=self.one(5, 20))
        if self.perhaps(0.1):
            controls.set_pool([pool], codel="folly", target=5, interval=20)
        if self.perhaps(0.2) and pool not in controls.apart:
            controls.set_pool([pool], lost=self.one(1, 2, 5), notice=self.one(0, 7))

    def turn_gateway(self, where: dict[str, Any], controls: Controls) -> None:
        if self.perhaps(0.6):
            controls.set(**where, flow=self.number_to(5), weight=self.one(0.1, 1, 3))
        if self.perhaps(0.3):
            controls.set(**where, level=self.number_to(2), other=self.number_to(3), mixed=0.5)
        if self.perhaps(0.2):
            controls.set(**where, ration=self.number_to(4))
        if self.perhaps(0.3):
            controls.set(**where, shed=0.4, sticky=self.one(0, 30))
        if self.perhaps(0.2):
            controls.set(**where, priority=self.number_to(2))

    def perhaps(self, chance: float) -> bool:
        return bool(self.dice.random() < chance)

    def one(self, *choices: Any) -> Any:
        return choices[self.number_to(len(choices))]

    def number_to(self, below: int) -> int:
        return int(self.dice.integers(below))


class Spy:
    """A policy that does nothing but look. A run acts on a copy, which shares the list."""

    steady = False

    def __init__(self, seen: list[Telemetry]):
        self.seen = seen

    def __deepcopy__(self, memo: dict[int, Any]) -> "Spy":
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen.append(telemetry)


def assert_seen_alike(one: Telemetry, other: Telemetry) -> None:
    for field in dataclasses.fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        assert (mine == theirs).all() if isinstance(mine, np.ndarray) else mine == theirs, field.name
