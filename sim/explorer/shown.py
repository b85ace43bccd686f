"""The figures that a page of settings shows, with their titles and units."""

import math
from typing import Literal, NamedTuple

from sim.studies.intervals import Kind
from sim.wording import amount, duration, percent, usd


class Shown(NamedTuple):
    """A figure of a run by its name in sim.studies.figures, of the whole service."""

    column: str
    title: str
    unit: Literal["share", "number", "dollars", "seconds"]

    def text(self, value: float) -> str:
        """The figure in words."""
        if self.unit == "seconds":
            return "never" if math.isinf(value) or math.isnan(value) else duration(value)
        if not math.isfinite(value):
            return "not known"
        if self.unit == "share":
            return percent(value)
        if self.unit == "dollars":
            return usd(value)
        return amount(value)

    @property
    def within(self) -> Kind:
        """Where its mean can lie."""
        return "share" if self.unit == "share" else "any" if self.column.endswith("margin") else "amount"


FIGURES = (
    Shown("attainment", "requests in time", "share"),
    Shown("in_time", "requests with an image in time", "number"),
    Shown("degraded_share", "degraded, of images in time", "share"),
    Shown("p95_latency", "p95 latency of all requests", "seconds"),
    Shown("lost", "requests lost", "number"),
    Shown("refused", "attempts refused", "number"),
    Shown("signups_lost", "signups lost on the waitlist", "number"),
    Shown("churned", "people who leave for good", "number"),
    Shown("kept", "people kept", "number"),
    Shown("saturated_seconds", "time with saturated pools", "seconds"),
    Shown("gpu_hours", "GPU-hours in service", "number"),
    Shown("wasted_gpu_hours", "GPU-hours wasted", "number"),
    Shown("dollars", "cost of the GPUs", "dollars"),
    Shown("revenue", "revenue", "dollars"),
    Shown("margin", "revenue less GPUs", "dollars"),
    Shown("kwh", "energy at the meter, kWh", "number"),
    Shown("kg_co2e", "kg CO2e", "number"),
)
