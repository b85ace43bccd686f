"""The figures that a page of settings shows, by their names in sim.studies.figures, with their titles."""

import math

from sim.report import words
from sim.studies.differences import unit_of

FIGURES = {
    "attainment": "requests in time",
    "in_time": "requests with an image in time",
    "degraded_share": "degraded, of images in time",
    "p95_latency": "p95 latency of all requests",
    "lost": "requests lost",
    "refused": "attempts refused",
    "signups_lost": "signups lost on the waitlist",
    "churned": "people who leave for good",
    "kept": "people kept",
    "saturated_seconds": "time with saturated pools",
    "gpu_hours": "GPU-hours in service",
    "wasted_gpu_hours": "GPU-hours wasted",
    "dollars": "cost of the GPUs",
    "revenue": "revenue",
    "margin": "revenue less GPUs",
    "kwh": "energy at the meter, kWh",
    "kg_co2e": "kg CO2e",
}


def text_of(column: str, value: float) -> str:
    """A figure of the whole service in words; a time that is no number never came."""
    known = math.isfinite(value) or unit_of(column) == "seconds"
    return words.figure(column, value) if known else "not known"
