"""The source of each figure of a behaviour, for the end of a report."""

import math
from typing import Any

from sim.schema import Strict


def provenance_rows(model: Strict, given: dict[str, Any], path: str) -> list[dict[str, str]]:
    """One row per figure: set by the scenario, or a default with its source."""
    rows = []
    for name, info in type(model).model_fields.items():
        value, here = getattr(model, name), f"{path}.{name}"
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        if "source" not in extra:
            if isinstance(value, Strict):
                rows += provenance_rows(value, given.get(name) or {}, here)
            continue
        source = "set in the scenario" if name in given else str(extra["source"])
        kind = "assumed" if name in given else str(extra["provenance"])
        rows.append({"figure": here, "value": in_words(value), "provenance": kind, "source": source})
    return rows


def in_words(value: Any) -> str:
    """A behaviour's value for a table: 'lognormal, median 49, sigma 1.18'."""
    if value == math.inf:
        return "never"
    if not isinstance(value, Strict):
        return f"{value:g}" if isinstance(value, float) else str(value)
    fields = value.model_dump()
    kind = fields.pop("kind", "")
    return ", ".join([kind, *[f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in fields.items()]])
