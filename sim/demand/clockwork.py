"""The instants at which people come back, by the weekdays and hours of their region."""

from datetime import datetime

import numpy as np

from sim.demand.season import DAY, Region, Season, daily_quantiles, local_seconds
from sim.model.chance import hour_of_return


class Clockwork:
    """Turns a day and a uniform number into an instant, for each region."""

    def __init__(self, season: Season, regions: dict[str, Region], start: datetime):
        self.flat = season.flat
        self.quantiles = daily_quantiles(season)
        places: list[Region | None] = [*regions.values()] or [None]
        self.local = np.array([local_seconds(region, start) for region in places])  # seconds since a Monday's midnight
        self.by_weekday = season.week_factor([day * DAY for day in range(7)])

    def on_day(self, since: float, day: int, region: int, u: float) -> float:
        """The instant `day` days after `since` in seconds: at a uniform hour, or by the region's daily curve."""
        return float(hour_of_return(self.flat, self.quantiles, since, day, self.local[region], u))
