"""Any answer in plain sentences: a verdict, a size, a decision, a rescue, an order date, a fit."""

from importlib import import_module
from typing import Any

from sim.errors import BadInput

# The room and file with the sentences of each kind of answer, imported when there is one to put into words.
WORDS = {
    "Verdict": "sim.results.verdict",
    "Size": "sim.studies.size_words",
    "Decision": "sim.studies.decide_words",
    "Rescue": "sim.studies.rescue_sentences",
    "OrderBy": "sim.studies.lead_time_words",
    "FittedDemand": "sim.demand.fitting.fitted",
}


def sentences(answer: Any) -> list[str]:
    """An answer in plain sentences, the most important first; counts are of the whole service. Raises BadInput.

    answer: what verdict, size, decide, rescue, order_by or fit_demand gave.
    """
    place = WORDS.get(type(answer).__name__)
    if place is None:
        expected = "the result of verdict, size, decide, rescue, order_by or fit_demand"
        raise BadInput("this has no sentences", value=type(answer).__name__, expected=expected)
    found: list[str] = import_module(place).sentences(answer)
    return found
