"""Parts of access logs that need a look at many lines: the unit of whole durations, and forwarded addresses."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.tables.coded import of_words, plain
from sim.tables.names import PER
from sim.tables.times import timestamps

ADDRESS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]+)"
FORWARDED = rf"\"(?P<client>{ADDRESS})(?:, ?{ADDRESS})*\""  # X-Forwarded-For, as in nginx's own format 'main'
WHOLE = {"s": "seconds (Apache's %T)", "ms": "milliseconds", "us": "microseconds (Apache's %D)"}
MEDIANS = {"s": (0.0, 100.0), "ms": (10.0, 6e5), "us": (100.0, np.inf)}  # of whole durations that may be in this unit
IN_SECONDS = """awk '{$NF = sprintf("%.3f", $NF / 1000)} 1'"""


def units_of(stamps: Any, sample: Any) -> tuple[list[str], bool]:
    """The units that whole durations may have, and whether the order of the lines shows it.

    Lines are written at their ends. Where their stamps are in order themselves, by the second, only the size of the
    durations is left: answers take between a hundredth of a second and ten minutes.
    """
    begins = timestamps(stamps).instants / 1e9
    seconds = np.asarray(pc.cast(sample, pa.float64()))
    fits = [unit for unit in WHOLE if disorder(begins + seconds / PER[unit]) == 0]
    if disorder(begins) > 0 and len(fits) == 1:
        return fits, True
    usual = float(np.median(seconds[seconds > 0])) if (seconds > 0).any() else 0.0
    return [unit for unit, (least, most) in MEDIANS.items() if least <= usual < most], False


def unit_question(units: list[str], sample: Any) -> tuple[str, str, str]:
    """What is wrong with durations of several possible units, the value, and what is expected."""
    value = next((text for text in sample.to_pylist() if int(text) > 0), "0")
    each = [f"{unit} ({int(value) / PER[unit]:g} s)" for unit in units]
    what = "the number at the end of each line may be a duration in " + " or in ".join(WHOLE[unit] for unit in units)
    return what, value, f"{' or '.join(each)}; Tomcat before version 10 has ms. Or seconds in the file: {IN_SECONDS}"


def disorder(at: Any) -> int:
    """The number of times that lie more than a second before one above them."""
    return int((at < np.maximum.accumulate(at) - 1.001).sum())


def client_in_pieces(rest: list[Any]) -> Any:
    """The forwarded address among the quoted pieces of lines; '' where there is none."""

    def found(words: Any) -> Any:
        quoted = pc.binary_join_element_wise('"', words, '"', "")
        return pc.fill_null(pc.struct_field(pc.extract_regex(quoted, f"^{FORWARDED}$"), "client"), "")

    best = pa.array([""] * len(rest[0]), pa.string())
    for piece in rest:
        each = plain(of_words(piece, found))
        best = pc.if_else(pc.equal(each, ""), best, each)
    return best
