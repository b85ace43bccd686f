"""Who may use a feature at all: staged roll-out by tier, share of users and account age, and a waitlist on signups."""

from typing import Literal

from sim.controls import Controls, Telemetry
from sim.policies.target import Targeted
from sim.schema import Strict
from sim.units import Fraction, Rate, Seconds


class FeatureGate(Targeted):
    """Opens features to a share of users, and only to accounts of a certain age.

    The share is sticky and nested: whoever is in the first 10 % is in the first 20 % too. `open: 0` closes; an age
    keeps out new accounts, as in "video is off for new users".
    """

    kind: Literal["feature gate"] = "feature gate"
    open: Fraction = 1.0
    min_age: Seconds = 0.0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, open=self.open, min_age=self.min_age)


class Waitlist(Strict):
    """Lets newcomers in at a fixed rate, first come, first served; 'rate: 0' closes signups."""

    kind: Literal["waitlist"] = "waitlist"
    rate: Rate

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.let_in(self.rate)
