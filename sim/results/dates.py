"""Instants of a run as dates."""

from datetime import datetime, timedelta

from sim.results.run import Run


def date_of(run: Run, seconds: float) -> str:
    """An instant of a run as a date and time (UTC)."""
    return (datetime.fromisoformat(run.manifest["start"]) + timedelta(seconds=seconds)).strftime("%a %d %b %Y %H:%M")
