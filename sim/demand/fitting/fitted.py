"""A launch fitted to a table of counts, with the block that puts it into a scenario: all that `fit_demand` gives."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.demand.fitting import forecast
from sim.demand.fitting.counts import Counts, read_counts
from sim.demand.fitting.fit import Fit, fit_all
from sim.demand.fitting.growth_curves import chosen_models
from sim.units import moment


@dataclass(frozen=True)
class FittedDemand:
    """Curves fitted to counts of people, the best first. horizon: seconds from the first count to forecast."""

    counts: Counts
    fits: list[Fit]
    horizon: float

    @property
    def block(self) -> str:
        """The best curve as the `demand` of a scenario, in YAML."""
        return forecast.demand_block(self.fits[0], self.counts, self.horizon)

    def fan(self, seed: int = 1) -> forecast.Fan:
        """Quantiles of possible futures up to the horizon."""
        return forecast.fan_of_futures(self.fits, np.linspace(0.0, self.horizon, 401), seed)


def fit_demand(
    data: Path | str,
    *,
    start: str | None = None,
    models: str | None = None,
    people: float | None = None,
    horizon: float | None = None,
) -> FittedDemand:
    """Fit growth curves to a table of times and counts of people. Raises BadInput that names the row.

    start: when it began (UTC), like '2023-07-05 23:00'. models: names with commas between, all where None. people: the
    size of the market where it is known. horizon: seconds to forecast, twice the length of the data where None.
    """
    counts = read_counts(Path(data), start=None if start is None else moment(start))
    until = 2 * float(counts.times[-1]) if horizon is None else horizon
    return FittedDemand(counts, fit_all(counts, chosen_models(models), people=people, horizon=until), until)


def sentences(found: FittedDemand) -> list[str]:
    """The best curve and how it was chosen, then what the data leave open."""
    return forecast.sentences(found.fits, found.counts)
