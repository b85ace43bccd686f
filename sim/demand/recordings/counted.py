"""Counts per interval as a wave of a scenario: a rate that is held through each interval."""

from datetime import UTC, datetime, timedelta

import numpy as np

from sim.tables.formats.reader import CountSeries, Floats

WAVE = "# A wave of counts, made by meltpoint.\ndemand:\n"  # how each begins


def wave_block(counts: CountSeries, source: str) -> str:
    """The wave as YAML for a scenario: as many people come in each interval as were counted, at random times in it.

    Intervals that no row covers, and unknown counts, bring nobody.
    """
    ends = since_first(counts) + counts.lasts
    lines = [
        *WAVE.splitlines(),
        f"  # {source}: {counts.total.sum():,.0f} in all, from {first_instant(counts):%Y-%m-%d %H:%M:%S} UTC",
        "  - kind: piecewise",
        "    name: counted",
        "    join: held",
        "    points:",
    ]
    begins = since_first(counts)
    for place, rate in enumerate(counts.total / counts.lasts):
        lines.append(f"      - [{begins[place]:.10g} s, {rate:.10g} per s]")
        if place + 1 == len(begins) or begins[place + 1] > ends[place] + 1e-3:
            lines.append(f"      - [{ends[place]:.10g} s, 0 per s]")
    return "\n".join(lines) + "\n"


def since_first(counts: CountSeries) -> Floats:
    """Seconds from the first interval's beginning to each one's."""
    return np.asarray((counts.begins - counts.begins[0]) / 1e9, dtype=np.float64)


def first_instant(counts: CountSeries) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(counts.begins[0]) // 10**9)
