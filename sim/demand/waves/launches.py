"""Presets: publicly documented launches as waves with sources, to put into a scenario by name."""

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import Field, TypeAdapter, ValidationError

from sim.demand.waves.signups import AnyWave
from sim.demand.waves.wave import Floats
from sim.schema import Strict, in_plain_words
from sim.units import Instant, Plain, Seconds, instant

FILE = Path(__file__).with_name("launches.yaml")
FADED = 0.999  # of the people: a preset ends when this share has come
LONGEST = 10 * 365 * 86400.0  # seconds


class Preset(Strict):
    """A launch as the file describes it. waves: as scenarios write them, `from` after the launch."""

    title: str
    source: str
    confidence: str
    waves: list[dict[str, Any]] = Field(min_length=1)

    def curves(self) -> list[AnyWave]:
        """Its waves, checked; `from` is in seconds after the launch."""
        return TypeAdapter(list[AnyWave]).validate_python(self.waves)

    def cumulative(self, t: Floats) -> Floats:
        """Expected people of all its waves in the first t seconds."""
        return np.sum([one.times * one.cumulative(t - after_launch(one)) for one in self.curves()], axis=0)

    def people(self) -> float:
        """Everybody who ever comes."""
        return float(self.cumulative(np.array(LONGEST)))

    def lasting(self) -> float:
        """Seconds until nearly everybody has come."""
        times = np.geomspace(60.0, LONGEST, 4001)
        return float(times[np.searchsorted(self.cumulative(times), FADED * self.people())])

    def peak_hour(self) -> float:
        """People of the busiest hour, to the minute (of a long launch, to a ten-thousandth of it)."""
        starts = np.arange(0.0, self.lasting(), max(60.0, self.lasting() / 10_000))
        return float(np.max(self.cumulative(starts + 3600.0) - self.cumulative(starts)))


class Use(Strict):
    """A preset in a scenario: its name, its beginning, a factor on its people, and their tiers and accounts."""

    kind: Literal["preset"]
    name: str = Field(description="as 'meltpoint demand presets' lists them")
    from_: Instant = Field(default=0.0, alias="from", description="when the launch is")
    times: Annotated[Plain, Field(ge=0, le=1e6)] = Field(default=1.0, description="multiplies the people")
    tiers: list[str] | None = Field(default=None, description="only people of these tiers")
    account_age: Seconds | None = Field(default=None, description="age of the accounts it brings")


def after_launch(wave: AnyWave) -> float:
    """When a preset's wave begins, seconds after the launch."""
    assert isinstance(wave.from_, float)  # only scenarios have dates
    return wave.from_


def presets() -> dict[str, Preset]:
    """All presets by name."""
    return TypeAdapter(dict[str, Preset]).validate_python(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def expanded(sources: list[Any]) -> list[Any]:
    """Sources with each preset replaced by its waves; others stay as they are. Raises ValueError that names the place.

    The waves keep their distances to the launch, which is put to the preset's `from`; `times` multiplies theirs.
    """
    found: list[Any] = []
    for number, source in enumerate(sources):
        if isinstance(source, dict) and source.get("kind") == "preset":
            found += waves_of(source, number)
        else:
            found.append(source)
    return found


def waves_of(source: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """The waves of one preset in a scenario, as a file would write them."""
    try:
        use = Use.model_validate(source)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        key = ".".join(map(str, (number, *first["loc"])))
        raise ValueError(f"{key}: expected {in_plain_words(first)}") from None
    known = presets()
    if use.name not in known:
        raise ValueError(f"{number}.name: there is no preset {use.name!r}, expected one of {', '.join(known)}")
    changes = {key: source[key] for key in ("tiers", "account_age") if source.get(key) is not None}
    return [
        {
            **wave,
            **changes,
            "from": shifted(use.from_, instant(wave.get("from", 0))),
            "times": use.times * wave.get("times", 1.0),
        }
        for wave in known[use.name].waves
    ]


def shifted(launch: float | datetime, after: float | datetime) -> str | datetime:
    """A launch and some seconds, as a scenario writes an instant."""
    assert isinstance(after, float)  # presets have no dates
    if not isinstance(launch, datetime):
        return "never" if math.isinf(launch) else f"{launch + after!r} s"
    try:
        return launch + timedelta(seconds=after)
    except OverflowError:
        raise ValueError("from: expected a date that leaves room for the preset's waves") from None
