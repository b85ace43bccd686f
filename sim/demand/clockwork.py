"""When in the day people come back: at the hours their region keeps."""

import math
from datetime import datetime

from sim.demand.season import Region, Season, daily_quantiles, local_seconds

DAY = 86400.0


class Clockwork:
    """Turns a day and a uniform number into an instant, for each region."""

    def __init__(self, season: Season, regions: dict[str, Region], start: datetime):
        self.flat = season.daily_peak_to_mean == 1
        self.quantiles = [] if self.flat else daily_quantiles(season).tolist()
        self.local = [local_seconds(region, start) for region in regions.values()] or [local_seconds(None, start)]

    def on_day(self, since: float, day: int, region: int, u: float) -> float:
        """The instant `day` days after `since`: at any hour alike, or as a region's day goes. Seconds."""
        if self.flat:
            return since + (day - 0.5 + u) * DAY
        local = self.local[region]  # time of day there when the run begins
        midnight = math.floor((since + local) / DAY) * DAY - local
        place = u * (len(self.quantiles) - 1)
        below = min(int(place), len(self.quantiles) - 2)
        low, high = self.quantiles[below], self.quantiles[below + 1]
        return float(midnight + day * DAY + low + (place - below) * (high - low))
