"""A call for processes of a test's own; it imports nothing, so that they start quickly."""

import time


def half_then_sleep(_, seconds, report):
    """Half of the work at once, and the rest in so many seconds."""
    report(0.5)
    time.sleep(seconds)
