"""The live server: the gateway and the queues of the readable engine in real time, with GPUs that really take it."""

import math
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, cast

import numpy as np

from sim.engine.clock import Clock
from sim.engine.readable.crowd import Crowd
from sim.engine.readable.service import Service
from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.model.request import Request
from sim.results.log import Log
from sim.scenario.scenario import Scenario
from tests.studies.live.clock import RealClock
from tests.studies.live.devices import Device


class Server(Service):
    """A service in real time, and the engine that the control process steers."""

    def __init__(
        self, clock: RealClock, scenario: Scenario, crowd: Crowd, controls: Controls, seed: int, device: Device
    ):
        self.clock, self.device = clock, device
        self.due: list[float] = []  # when each attempt should have been sent, seconds
        self.tick = 0.0  # when the last control interval began, seconds
        clock.serve_batch = self.serve_last_batch
        super().__init__(cast(Clock, clock), scenario, crowd, controls, seed)

    def serve_last_batch(self, until: float) -> Coroutine[Any, Any, None]:
        """What the GPU does whose batch has just been written down."""
        batch = self.batches[-1]
        return self.device.serve(self.clock, until, self.specs[batch.spec].model, batch.size)

    def receive(self, user: int, feature: int, ask: int, attempt: int, due: float) -> Request:
        """An attempt, due at some instant, is here."""
        self.due.append(due)
        return self.ask(user, feature, 0, ask, attempt)

    def advance(self, until: float) -> None:
        """A control interval has ended; all that came before it has happened by itself."""
        self.tick = until

    def telemetry(self, waitlisted: int = 0) -> Telemetry:
        """What a policy may see, at the instant at which the control process was due."""
        return replace(super().telemetry(waitlisted), now=self.tick)

    def take_over(self) -> None:
        """The knobs are set: they hold from now on, and a new control interval begins."""
        self.begin_interval()

    def let_in(self, seconds: float) -> None:
        """Raises BadInput where a policy wants a waitlist: a live server has none."""
        if self.controls.signup_rate < math.inf:
            raise BadInput("the live server has no waitlist", key="signup_rate", value=self.controls.signup_rate)

    def log(self) -> Log:
        """All that happened. Attempts count from when they were due, batches have the seconds that they took."""
        log = super().log()
        batches = log.batches
        took = batches["finished"] - batches["started"]
        return replace(
            log,
            requests=log.requests | {"arrived": np.array(self.due)},
            batches=batches | {"seconds": np.where(np.isnan(took), batches["seconds"], took)},
        )
