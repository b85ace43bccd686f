"""The figures that a page of settings shows, by their names in sim.studies.figures, with their titles."""

import math

from sim.report import words
from sim.studies.differences import title_of, unit_of

SHOWN = (
    *("attainment", "in_time", "degraded_share", "p95_latency", "lost", "refused", "signups_lost", "churned", "kept"),
    *("saturated_seconds", "gpu_hours", "wasted_gpu_hours", "dollars", "revenue", "margin", "kwh", "kg_co2e"),
)
FIGURES = {name: title_of(name) for name in SHOWN}


def text_of(column: str, value: float) -> str:
    """A figure of the whole service in words; a time that is no number never came."""
    known = math.isfinite(value) or unit_of(column) == "seconds"
    return words.figure(column, value) if known else "not known"
