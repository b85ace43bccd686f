"""Studies as one self-contained HTML page."""

import math

from jinja2 import Environment, PackageLoader, StrictUndefined

from sim.plots.bounds import bounds_figure
from sim.plots.saving import data_url
from sim.validation.study import Study
from sim.validation.study_file import made_now


def page(studies: list[Study]) -> str:
    """The page: a figure and the rows of each study, with misses marked, the date and the versions."""
    environment = Environment(loader=PackageLoader("sim.validation", "."), autoescape=True, undefined=StrictUndefined)
    drawn = {study.name: data_url(bounds_figure(study.table)) for study in studies}
    return environment.get_template("page.html.j2").render(studies=studies, number=number, made=made_now(), drawn=drawn)


def number(value: float) -> str:
    """Four figures, or the whole part where that has a few more; nothing where there is no number."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"
