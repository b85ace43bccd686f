"""How many virtual users of k6 it takes to send every request of a schedule on time."""

import math

from sim.export.rates import rates
from sim.export.schedule import Schedule

USUAL = 10.0  # seconds to an image, where the run has served none


def virtual_users(schedule: Schedule) -> int:
    """Twice the virtual users that are busy at the peak if an image takes as long as in the run; at least ten."""
    usual = schedule.about["mean_seconds_to_image"] or USUAL
    return max(10, math.ceil(2 * rates(schedule).peak * usual))
