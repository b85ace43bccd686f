"""What became of all requests that were wanted, as a waterfall: each part begins where the one before it ends."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sim.plots import axes
from sim.results.cohort import IN_TIME, IN_TIME_DEGRADED, LATE, LEFT, REFUSED, WANTED, cohort
from sim.results.run import Run
from sim.wording import amount, percent

COLOURS = {
    WANTED: axes.GREY,
    IN_TIME: axes.BLUE,
    IN_TIME_DEGRADED: axes.SKY,
    LATE: axes.ORANGE,
    REFUSED: axes.YELLOW,
    LEFT: axes.VERMILLION,
}
DARK = (axes.GREY, axes.BLUE, axes.VERMILLION)


def cohort_bars(run: Run, ax: Axes) -> None:
    """Requests at full scale by what became of them."""
    parts = cohort(run)
    whole, begin = parts[WANTED], 0.0
    axes.dress(ax, "What became of the requests", "", "requests" if whole else None)
    if not whole:
        return axes.nothing(ax, "nothing was wanted")
    for place, (name, count) in enumerate(parts.items()):
        left = 0.0 if name == WANTED else begin
        colour = COLOURS.get(name, axes.PURPLE)
        ax.barh(-place, count, left=left, height=0.62, color=colour, edgecolor=axes.INK, linewidth=0.4)
        text = amount(count) if name == WANTED else f"{amount(count)} ({percent(count / whole)})"
        x, side, shift, ink = label_place(left, count, whole, colour)
        ax.annotate(text, (x, -place), (shift, 0), textcoords="offset points", ha=side, va="center", size=8, color=ink)
        begin += 0.0 if name == WANTED else count
    ax.set_yticks([-place for place in range(len(parts))], list(parts))
    ax.set_xlim(0, whole)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(axes.amount_tick)
    ax.grid(False, axis="y")
    return None


def label_place(left: float, count: float, whole: float, colour: str) -> tuple[float, str, int, str]:
    """Where a bar's label stands (anchor, side, shift in points) and its colour: in the bar where it has room."""
    if count > 0.28 * whole:
        return left, "left", 4, "white" if colour in DARK else axes.INK
    if left + count < 0.72 * whole:
        return left + count, "left", 4, axes.INK
    return left, "right", -4, axes.INK
