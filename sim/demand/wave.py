"""What every signup wave has: when it begins, whom it brings, and how many times over."""

from typing import Annotated

from pydantic import Field

from sim.schema import Strict
from sim.units import Instant, Plain, Seconds


class Wave(Strict):
    """What every wave has: when it begins, whom it brings, and how many times over."""

    name: str = ""
    from_: Instant = Field(default=0.0, alias="from", description="when the wave begins")
    account_age: Seconds = Field(
        default=0.0, description="age of the accounts it brings; 0 means that these people sign up"
    )
    times: Annotated[Plain, Field(ge=0, le=1e6)] = Field(
        default=1.0, description="so many times the people: 5 or 50 to see what a wrong forecast does"
    )
    tiers: list[str] = Field(default=[], description="only people of these tiers, in their proportions; all if empty")

    @property
    def newcomers(self) -> bool:
        """Whether these people sign up (and so can be put on the waitlist), or have accounts already."""
        return self.account_age == 0
