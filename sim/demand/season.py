"""Hours, weekdays and bursts: their effect on a wave's rate by region, and the time of day at which people come.

The rate of every wave is multiplied by a factor of mean 1: over regions, share x hour of the local day x day of the
local week; and by chance, minute by minute. Local time is that of the zone at the scenario's start: a change of the
clocks within a run is left out.
"""

from datetime import datetime, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, Field, model_validator

from sim.demand.waves.wave import Floats, Wave
from sim.model.streams import BURST, series
from sim.schema import Strict, sourced
from sim.units import Fraction, Plain

DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0


def known_zone(name: str) -> str:
    """The name of a time zone. Raises ValueError where there is none of that name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # the library's own error for a name it does not know is a KeyError
        raise ValueError("expected a time zone by its IANA name, like 'Europe/Paris' or 'UTC'") from None
    return name


class Region(Strict):
    """Where people live."""

    share: Fraction = Field(description="of all people")
    zone: Annotated[str, AfterValidator(known_zone)] = Field(default="UTC", description="an IANA time zone")


class Season(Strict):
    """The variation of demand with the hour, the weekday and chance. Flat and calm by default."""

    daily_peak_to_mean: Annotated[Plain, Field(ge=1, le=12)] = sourced(
        1.0,
        "rate at the busiest local hour over the day's mean (a von Mises curve); 1 is flat",
        assumed="assumed flat; ServeGen: 1.4 for a service used all over the world, 2.7 in one region",
    )
    peak_hour: Annotated[Plain, Field(ge=0, lt=24)] = sourced(
        20.0, "the busiest hour, local time", assumed="assumed: evenings"
    )
    hours: list[Annotated[Plain, Field(ge=0, le=1000)]] = sourced(
        [], "rates of the 24 local hours in any unit, in place of the curve", assumed="none: the curve"
    )
    weekend: Annotated[Plain, Field(ge=0, le=20)] = sourced(
        1.0,
        "rate on Saturday and Sunday over that on a weekday",
        assumed="assumed; business tools 1/3 to 1/6 (GenTD26)",
    )
    burstiness: Annotated[Plain, Field(ge=0, le=10)] = sourced(
        0.0,
        "variance of a factor (Gamma, mean 1) on each minute's rate",
        assumed="assumed none; 0.05 makes the Fano factor 2.2 at 24 a minute (GenTD26's fleet)",
    )

    @model_validator(mode="after")
    def a_day_has_24_hours(self) -> Self:
        if self.hours and (len(self.hours) != 24 or not sum(self.hours) > 0):
            raise ValueError("hours: expected 24 rates, not all of them 0")
        if self.hours and self.daily_peak_to_mean != 1:
            raise ValueError("hours: expected these or 'daily_peak_to_mean', not both")
        return self

    @property
    def flat(self) -> bool:
        """Whether all hours and days are the same."""
        return self.daily_peak_to_mean == 1 and not self.hours and self.weekend == 1

    @property
    def concentration(self) -> float:
        """Kappa of the von Mises curve exp(kappa cos x) / I0(kappa) whose peak is daily_peak_to_mean."""
        if self.daily_peak_to_mean == 1:
            return 0.0
        return float(scipy.optimize.brentq(lambda k: 1.0 / scipy.special.ive(0, k) - self.daily_peak_to_mean, 0.0, 1e4))

    def hour_factor(self, local: ArrayLike) -> Floats:
        """The day's curve at local seconds since a midnight: mean 1 over a day."""
        if self.hours:
            rates = np.array(self.hours) / np.mean(self.hours)
            return rates[(np.asarray(local, dtype=float) % DAY // HOUR).astype(np.int64)]
        k = self.concentration
        if k == 0:  # as the formula below gives, without the import of scipy.special
            return np.ones(np.shape(local))
        angle = 2 * np.pi * (np.asarray(local, dtype=float) / HOUR - self.peak_hour) / 24
        return np.exp(k * (np.cos(angle) - 1)) / scipy.special.ive(0, k)

    def week_factor(self, local: ArrayLike) -> Floats:
        """The week's factor at local seconds since the midnight before a Monday: mean 1 over a week."""
        weekday = 7.0 / (5.0 + 2.0 * self.weekend)
        days = np.floor(np.asarray(local, dtype=float) / DAY) % 7
        return np.where(days >= 5, self.weekend * weekday, weekday)


def local_seconds(region: Region | None, start: datetime) -> float:
    """Seconds from the local Monday's midnight to the scenario's start; UTC where there is no region."""
    offset = (start.astimezone(ZoneInfo(region.zone)).utcoffset() if region is not None else None) or timedelta()
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    return (start - midnight + offset).total_seconds() + start.weekday() * DAY


def factors(season: Season, regions: dict[str, Region], start: datetime, t: Floats) -> Floats:
    """One row per region: its part of the rate at each t (seconds from the start). Columns sum to the factor."""
    places: list[Region | None] = [*regions.values()] or [None]
    rows = []
    for region in places:
        local = t + local_seconds(region, start)
        share = 1.0 if region is None else region.share
        rows.append(share * season.hour_factor(local) * season.week_factor(local))
    return np.array(rows)


def regions_of(
    season: Season, regions: dict[str, Region], start: datetime, instants: Floats, uniforms: Floats
) -> NDArray[np.int64]:
    """The region of each person who comes at an instant: by its part of the rate then."""
    if len(regions) <= 1:
        return np.zeros(len(instants), dtype=np.int64)
    parts = np.cumsum(factors(season, regions, start, instants), axis=0)
    return (uniforms * parts[-1] >= parts[:-1]).sum(axis=0)


def daily_quantiles(season: Season, n: int = 1441) -> Floats:
    """Local seconds since midnight at n evenly spaced quantiles of the day's curve."""
    grid = np.linspace(0.0, DAY, 8 * 1440 + 1)
    rate = season.hour_factor((grid[1:] + grid[:-1]) / 2)
    cumulative = np.append(0.0, np.cumsum(rate))
    return np.interp(np.linspace(0.0, 1.0, n), cumulative / cumulative[-1], grid)


class Pulse:
    """A factor on a wave's rate that is constant in each minute of a run; before the run it is 1."""

    def __init__(self, factor: Floats):
        self.factor = factor
        self.edges = np.arange(len(factor) + 1) * MINUTE

    def instants(self, wave: Wave, begins: float, n: Floats) -> Floats:
        """Instants at which the wave's cumulative under this factor reaches each of n: exact, minute by minute."""
        plain = np.append(0.0, wave.cumulative(self.edges - begins))  # the first cell is all that is before the run
        factor = np.append(1.0, self.factor)
        reached = np.append(0.0, np.cumsum(np.diff(plain) * factor))
        cell = np.clip(np.searchsorted(reached, n, side="right") - 1, 0, len(factor) - 1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = np.minimum(plain[cell] + (n - reached[cell]) / factor[cell], plain[cell + 1])
        # A minute keeps its people, also where rounding would put them into the next, or beyond a wave's last person.
        starts = np.append(-np.inf, self.edges[:-1])
        instants = np.clip(begins + wave.inverse(inside), starts[cell], self.edges[cell])
        return np.where(n < reached[-1], instants, np.inf)

    def expected(self, wave: Wave, begins: float) -> float:
        """People the wave brings before the end of the run."""
        plain = wave.cumulative(self.edges - begins)
        return float(plain[0] + (np.diff(plain) * self.factor).sum())


def pulse_of(season: Season, regions: dict[str, Region], start: datetime, horizon: float, seed: int) -> Pulse | None:
    """The factor of each minute of a run; None where it would be 1 throughout."""
    if season.flat and season.burstiness == 0:
        return None
    minutes = int(np.ceil(horizon / MINUTE))
    middles = (np.arange(minutes, dtype=np.float64) + 0.5) * MINUTE
    factor = factors(season, regions, start, middles).sum(axis=0)
    if season.burstiness > 0:
        shape = 1.0 / season.burstiness
        factor *= season.burstiness * scipy.special.gammaincinv(shape, series(seed, BURST, 0, 0, minutes))
    return Pulse(factor)
