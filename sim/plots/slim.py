"""An SVG that takes a fraction of the space and looks the same: a tenth of a point is the finest step it draws."""

import re

HEAD = re.compile(r"\A.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
PATH = re.compile(r'(<path (?:id="\w+" )?d=")([^"]*)"')
BETWEEN = re.compile(r">\s+<")
FONT = re.compile(r'(<(?:text|tspan) style="[^"]*?)font-family: [^;"]*;? ?')
FAMILY = "text{font-family:'DejaVu Sans',Verdana,Arial,sans-serif}"
CURVES = {"Q", "C", "S", "T", "A"}
NUMBER = re.compile(r"-?\d+\.\d+")


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
