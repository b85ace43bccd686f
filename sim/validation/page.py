"""Studies as one HTML page that needs nothing but itself."""

import math
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from sim.manifest import versions
from sim.validation.study import Study


def page(studies: list[Study]) -> str:
    """The page: each study with its rows, misses marked, and when and with what it was made."""
    environment = Environment(loader=PackageLoader("sim.validation", "."), autoescape=True, undefined=StrictUndefined)
    with_what = ", ".join(f"{name} {number}" for name, number in versions().items())
    made = f"Made {datetime.now(UTC):%d %B %Y} with {with_what}."
    return environment.get_template("page.html.j2").render(studies=studies, number=number, made=made)


def number(value: float) -> str:
    """Four figures, and nothing where there is no number."""
    return "" if math.isnan(value) else f"{value:.4g}"
