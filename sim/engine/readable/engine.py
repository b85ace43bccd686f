"""The readable engine as the control process drives it: SimPy's processes run by themselves between two ticks."""

from collections.abc import Callable

from sim.engine.clock import Clock
from sim.engine.readable.crowd import Crowd
from sim.engine.readable.service import Service
from sim.engine.readable.users import Users
from sim.engine.readable.waitlist import Waitlist
from sim.model.controls import Controls, Telemetry
from sim.results.log import Log
from sim.scenario.people import Asks, People
from sim.scenario.scenario import Scenario


class SimpyEngine:
    """One run in progress."""

    def __init__(
        self,
        env: Clock,
        scenario: Scenario,
        people: People,
        asks: Asks,
        controls: Controls,
        seed: int,
        users: Callable[..., Users] = Users,
        service: Callable[..., Service] = Service,
        *,
        unlimited: bool = False,
    ):
        crowd = Crowd(scenario, people, seed)
        self.service = service(env, scenario, crowd, controls, seed, unlimited=unlimited)
        self.waitlist = Waitlist(env, controls, crowd, seed)
        users(env, scenario, crowd, asks, self.service, self.waitlist, seed)

    def advance(self, until: float) -> None:
        """Nothing to do: SimPy has played everything before this instant."""

    def telemetry(self) -> Telemetry:
        return self.service.telemetry(self.waitlist.length())

    def take_over(self) -> None:
        """The knobs are set: they hold from now on, and a new control interval begins."""
        self.service.begin_interval()

    def let_in(self, seconds: float) -> None:
        self.waitlist.let_in(seconds)

    def log(self) -> Log:
        return self.service.log()
