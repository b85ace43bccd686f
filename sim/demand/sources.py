"""Where demand comes from: the waves of a scenario, and what shapes them all."""

from typing import Any

from pydantic import Field, model_validator

from sim.demand.signups import AnyWave
from sim.schema import Strict


class Demand(Strict):
    """All waves together; the total rate is their sum."""

    waves: list[AnyWave] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def bare_list(cls, value: Any) -> Any:
        return {"waves": value} if isinstance(value, list) else value
