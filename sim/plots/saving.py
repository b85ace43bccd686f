"""A figure as SVG text or PNG bytes: the same figure gives the same bytes, on any day."""

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from sim.errors import BadInput
from sim.writing import write_bytes

HEAD = re.compile(r"\A.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
PATH = re.compile(r'(<path (?:id="\w+" )?d=")([^"]*)"')
BETWEEN = re.compile(r">\s+<")
FONT = re.compile(r'(<(?:text|tspan) style="[^"]*?)font-family: [^;"]*;? ?')
FAMILY = "text{font-family:'DejaVu Sans',Verdana,Arial,sans-serif}"
CURVES = {"Q", "C", "S", "T", "A"}
NUMBER = re.compile(r"-?\d+\.\d+")


def svg_text(figure: Figure, *, letters: Literal["path", "none"] = "path") -> str:
    """The figure as SVG. letters: drawn as paths, so that it looks the same everywhere; or 'none': as a text is."""
    buffer = io.StringIO()
    # The salt of an SVG's ids can only be set in these settings; they are put back at once.
    with matplotlib.rc_context({"svg.hashsalt": "meltpoint", "svg.fonttype": letters}), quiet_about_letters():
        # Figure.savefig would draw everything once more before, for the layout that this draw makes itself.
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def data_url(figure: Figure) -> str:
    """The figure as a data URL, for a page that needs no other file; small, with the letters of the reader's fonts."""
    slim = slimmed(svg_text(figure, letters="none"))
    return f"data:image/svg+xml;base64,{base64.b64encode(slim.encode()).decode('ascii')}"


def png_bytes(figure: Figure, *, dots_per_inch: float = 150.0) -> bytes:
    buffer = io.BytesIO()
    with quiet_about_letters():
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def quiet_about_letters() -> Iterator[None]:
    """A name in a script that the font lacks is drawn as boxes; one warning per letter would not help."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        yield


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG or SVG, by the ending of its name. Raises BadInput for others, or on a failure to write."""
    if path.suffix not in (".png", ".svg"):
        raise BadInput("a figure is a PNG or an SVG", file=path, expected="a name ending in .png or .svg")
    try:
        return write_bytes(svg_text(figure).encode() if path.suffix == ".svg" else png_bytes(figure), path)
    except OSError as wrong:
        reason = f"this figure cannot be written ({wrong.strerror})"
        raise BadInput(reason, file=path, expected="a file in a folder that is there") from None


def slimmed(svg: str) -> str:
    """The SVG of a figure without what a page does not need, its paths in few characters."""
    bare = FONT.sub(r"\1", HEAD.sub("", svg)).replace("</style>", f"{FAMILY}</style>", 1)
    return BETWEEN.sub("><", PATH.sub(lambda found: f'{found[1]}{short_path(found[2])}"', bare))


def short_path(path: str) -> str:
    """A path's commands; one of straight lines alone is drawn with steps along the axes where it can be."""
    tokens = path.split()
    if CURVES.intersection(tokens):
        return NUMBER.sub(lambda found: short(float(found[0])), " ".join(tokens))
    written: list[str] = []
    x = y = ""
    at = 0  # a command and its two numbers
    while at < len(tokens):
        command = tokens[at]
        if command in "zZ":
            written.append("z")
            at += 1
            continue
        new_x, new_y = short(float(tokens[at + 1])), short(float(tokens[at + 2]))
        if command == "M":
            written.append(f"M{new_x} {new_y}")
        elif new_x == x and new_y != y:
            written.append(f"V{new_y}")
        elif new_y == y and new_x != x:
            written.append(f"H{new_x}")
        elif (new_x, new_y) != (x, y) or written[-1].startswith("M"):  # a dot is a line without length
            written.append(f"L{new_x} {new_y}")
        x, y, at = new_x, new_y, at + 3
    return "".join(written)


def short(number: float) -> str:
    """A coordinate to a tenth of a point."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
