"""Studies as files, with the date and versions they were made with: a CSV, the record of a full study; a page."""

import math
from datetime import UTC, datetime

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from sim.plots.bounds import bounds_figure
from sim.plots.saving import data_url
from sim.results.manifest import versions
from sim.validation.study import COLUMNS, Study

RESULTS = ["study", *COLUMNS]
COMMENT = "# "  # begins the lines before the table


def made_now() -> str:
    """The date, and the versions that a result depends on."""
    with_what = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"Made {datetime.now(UTC):%d %B %Y} with {with_what}."


def results_csv(studies: list[Study]) -> str:
    """One row per figure: RESULTS, six digits, under lines with the date, the versions and each study's notes."""
    comments = [made_now(), *[f"{study.name}: {note}" for study in studies for note in study.notes]]
    tables = [study.table.assign(study=study.name)[RESULTS] for study in studies]
    rows = pd.concat(tables).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return "".join(f"{COMMENT}{line}\n" for line in comments) + rows


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
