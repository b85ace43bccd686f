"""People who are in the service as a run begins: in a queue, for some time already, or being served."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from sim.demand.waves.wave import Floats, People, Wave, clipped
from sim.model.standing import FIRST
from sim.units import Seconds

Waited = Annotated[Seconds, Field(ge=0, le=1e7)]


class Standing(Wave):
    """A fixed number of requests that were granted before the run began, and the people behind them.

    People who wait are ordered by how long they have waited, and have the rest of their patience; of those in service
    the rest of the service is drawn. Afterwards they behave as anybody does. Waits and latencies count from now.
    """

    kind: Literal["standing"]
    requests: People = Field(description="in the service as the run begins")
    feature: str = Field(description="the feature that they wait for")
    least: Waited = Field(default=0.0, description="the shortest time that one of them has waited")
    most: Waited = Field(default=0.0, description="the longest; the others are spread evenly between")
    in_service: bool = Field(default=False, description="whether they are being served, and not waiting")
    account_age: Seconds = Field(default=365 * 86400.0, description="age of the accounts behind them")

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError("most: expected no less than 'least'")
        return self

    @property
    def exact(self) -> bool:
        return True

    @property
    def ends(self) -> tuple[float, float]:
        """When the first and the last of them ask, in seconds: see sim.model.standing."""
        return FIRST / (1.0 + self.most), FIRST / (1.0 + self.least)

    def rate_at(self, t: ArrayLike) -> Floats:
        t, (first, last) = np.asarray(t, dtype=float), self.ends
        inside = (t >= first) & (t <= last) & (last > first)
        steep = self.requests * FIRST / max(self.most - self.least, 1e-300)
        return np.where(inside, steep / np.where(inside, t, 1.0) ** 2, 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        t, (first, last) = clipped(t), self.ends
        ages = FIRST / np.clip(t, first, last) - 1.0
        share = (self.most - ages) / max(self.most - self.least, 1e-300)
        found: Floats = self.requests * np.where(t >= last, 1.0, np.clip(share, 0.0, 1.0))
        return found

    def inverse(self, n: ArrayLike) -> Floats:
        share = np.asarray(n, dtype=float) / max(self.requests, 1e-300)
        ages = self.most - (self.most - self.least) * np.clip(share, 0.0, 1.0)
        return np.where(share > 1.0 + 1e-9, np.inf, FIRST / (1.0 + ages))
