"""The parameters of one textbook case: a system that leaves one unread would simulate something else."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.studies.theory.queues import CONSTANT

EXPONENTIAL = {"kind": "exponential"}
SAME = 1e-6  # relative, for moments that a table gives beside the law


class Params(Mapping[str, Any]):
    """A mapping that knows which of its keys have been read."""

    def __init__(self, values: Mapping[str, Any]):
        self._values = dict(values)
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        if key in self._values:
            self._read.add(key)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def unread(self) -> list[str]:
        return [key for key in self._values if key not in self._read]


class NotExpressed(ValueError):
    """A system that the model cannot express."""


class NotKnown(NotExpressed):
    """A system, a parameter or a metric that nobody here understands: in a table, a mistake."""


def service_law(p: Params) -> dict[str, Any]:
    """The service time of M/G/1 as arguments of `queue`; moments that are given must be those of the law.

    Raises NotExpressed for a law that the simulator does not have, ValueError where the moments are of another law.
    """
    text = str(p.get("service", "exponential"))
    numbers = [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)]
    if text.startswith("exponential"):
        mean, moments, how = p["ES"], (2.0, 6.0), dict[str, Any](noise=EXPONENTIAL)
    elif text.startswith("deterministic"):
        mean, moments, how = p["ES"], (1.0, 1.0), {"noise": CONSTANT}
    elif text.startswith("lognormal"):
        spread = p["ES2"] / p["ES"] ** 2  # 1 + cv^2
        p.get("sigma2")
        mean, moments, how = p["ES"], (spread, spread**3), {"noise": {"kind": "lognormal", "cv": math.sqrt(spread - 1)}}
    elif text.startswith("two-point"):
        quick, chance, slow = numbers
        mean = chance * quick + (1 - chance) * slow
        second, third = ((chance * quick**n + (1 - chance) * slow**n) / mean**n for n in (2, 3))
        moments = (second, third)
        same("p_slow", p.get("p_slow", 1 - chance), 1 - chance)
        how = {"noise": CONSTANT, "services": {"quick": (chance, quick), "slow": (1 - chance, slow)}}
    else:
        raise NotExpressed(f"service times {text!r}: a batch's vary as lognormal or exponential, or between kinds")
    same("ES", p["ES"], mean)
    for name, ratio, power in (("ES2", moments[0], 2), ("ES3", moments[1], 3)):
        if name in p:
            same(name, p[name], ratio * mean**power)
    return {"seconds": mean, **how}


def same(name: str, given: float, follows: float) -> None:
    if not math.isclose(given, follows, rel_tol=SAME):
        raise ValueError(f"{name}: {given:g} is given, but {follows:g} follows from the law")


def batch_seconds(p: Params) -> list[float]:
    """Seconds of a batch of k = 1 ... b, from words such as "tau(k)=1.0+0.2k" or a table {1: 0.10, 2: 0.15}.

    A table is padded: a batch takes the time of the next size in it. Raises NotExpressed for other words.
    """
    text, sizes = p["batch_time"], range(1, p["b"] + 1)
    table = {int(size): float(took) for size, took in re.findall(r"(\d+)\s*:\s*(\.?\d+(?:\.\d+)?)", text)}
    line = re.fullmatch(r"tau\(k\)\s*=\s*([\d.]+)\s*\+\s*([\d.]+)\s*k", text)
    flat = re.fullmatch(r"tau\s*=\s*([\d.]+) for all k", text)
    if table and "padded" in text and max(table) >= p["b"]:
        return [table[min(size for size in table if size >= k)] for k in sizes]
    if line:
        return [float(line[1]) + float(line[2]) * k for k in sizes]
    if flat:
        return [float(flat[1]) for _ in sizes]
    raise NotExpressed(f"batch_time: {text!r} is neither 'tau(k)=A+Bk', 'tau=A for all k' nor a padded table up to b")
