"""When people come back: on the weekdays and at the hours that their region keeps."""

import math
from datetime import datetime

from sim.demand.season import DAY, Region, Season, daily_quantiles, local_seconds


class Clockwork:
    """Turns a day and a uniform number into an instant, for each region."""

    def __init__(self, season: Season, regions: dict[str, Region], start: datetime):
        self.flat = season.flat
        self.quantiles = daily_quantiles(season).tolist()
        self.local = [local_seconds(region, start) for region in regions.values()] or [local_seconds(None, start)]
        self.by_weekday = season.week_factor([day * DAY for day in range(7)]).tolist()

    def midnight(self, since: float, day: int, region: int) -> float:
        """The local midnight with which the day begins that is `day` days after `since`. Seconds."""
        local = self.local[region]
        return (math.floor((since + local) / DAY) + day) * DAY - local

    def weight(self, since: float, day: int, region: int) -> float:
        """What the chance of coming back on that day is multiplied by: mean 1 over a week."""
        if self.flat:
            return 1.0
        days = round((self.midnight(since, day, region) + self.local[region]) / DAY)
        return self.by_weekday[days % 7]

    def on_day(self, since: float, day: int, region: int, u: float) -> float:
        """The instant `day` days after `since`: at any hour alike, or as a region's day goes. Seconds."""
        if self.flat:
            return since + (day - 0.5 + u) * DAY
        place = u * (len(self.quantiles) - 1)
        below = min(int(place), len(self.quantiles) - 2)
        low, high = self.quantiles[below], self.quantiles[below + 1]
        return float(self.midnight(since, day, region) + low + (place - below) * (high - low))
