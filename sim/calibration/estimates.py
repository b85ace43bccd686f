"""A fitted value of a scenario with its interval, method and file; and what the data could not tell."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sim.calibration.fitted_laws import FittedLaw

COLUMNS = ["key", "value", "low", "high", "unit", "n", "method", "file"]


@dataclass(frozen=True)
class Estimate:
    """One number. key: as --set has it; low, high: its 95 % interval, nan where there is none; n: what it rests on."""

    key: str
    value: float
    low: float
    high: float
    unit: str
    n: int
    method: str
    file: str

    @property
    def words(self) -> str:
        """The value and its interval."""
        unit = f" {self.unit}" if self.unit else ""
        between = f" ({self.low:.4g} to {self.high:.4g})" if self.low == self.low else ""
        return f"{self.value:.4g}{between}{unit}"


@dataclass
class Findings:
    """What a calibration has found so far: estimates, keys of the scenario, notes, and what stays a default and why."""

    file: str
    estimates: list[Estimate] = field(default_factory=list)
    keys: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, found: tuple[float, float, float], unit: str, n: int, method: str) -> None:
        self.estimates.append(Estimate(key, *found, unit, n, method, self.file))

    def law(self, key: str, found: FittedLaw, method: str) -> None:
        """A law: the key's value, and an estimate for each of its parameters."""
        self.keys[key] = found.document
        for name, values in found.parameters.items():
            unit = "" if name in ("sigma", "shape") else "s"
            self.add(f"{key}.{name}", values, unit, found.seen, f"{method}: {found.kind}")

    @property
    def table(self) -> pd.DataFrame:
        """One row per estimate: COLUMNS."""
        return pd.DataFrame([{c: getattr(one, c) for c in COLUMNS} for one in self.estimates], columns=COLUMNS)

    def lines(self) -> Iterator[str]:
        """All of it in words, a line each."""
        for one in self.estimates:
            yield f"{one.key}: {one.words}; {one.method}; n = {one.n:,}; {one.file}"
        yield from (f"{key}: the default; {why}" for key, why in self.unknown.items())
        yield from (f"note: {note}" for note in self.notes)
