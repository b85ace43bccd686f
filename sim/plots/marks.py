"""Policy decisions as thin lines with few, short labels above a figure over time."""

from matplotlib.axes import Axes

from sim.model.controls import UNSET
from sim.plots import axes
from sim.results.run import Run

POLICY_OF = {
    "open": "feature gate",
    "min_age": "feature gate",
    "rate": "rate limit",
    "burst": "rate limit",
    "window": "quota",
    "kind": "quota",
    "queue": "queue bound",
    "wait": "wait bound",
    "level": "degrade",
    "signup_rate": "waitlist",
}
NEAR = 1 / 60  # of the horizon: decisions no further apart are one mark
MOST_ROWS = 4  # of labels above the axes
MOST_LINES = 60  # more lines of a policy that turns its knob all day show nothing new
LETTER = 0.0092  # width of a label's letter, as a share of the axes


def moments(run: Run) -> list[tuple[float, list[str]]]:
    """When policies acted (seconds), with nearby moments joined, and the names of those that had not acted before."""
    found: list[tuple[float, list[str]]] = []
    seen: set[str] = set()
    at: dict[float, list[str]] = {}
    for time, policy, knob in run.decisions[["time", "policy", "knob"]].itertuples(index=False):
        acts = f"{POLICY_OF.get(knob, knob)} ends" if policy == UNSET else str(policy)
        at.setdefault(float(time), []).append(acts)
    for time, acting in sorted(at.items()):
        fresh = [name for name in dict.fromkeys(acting) if name not in seen]
        seen.update(fresh)
        if found and time - found[-1][0] <= NEAR * run.horizon:
            found[-1][1].extend(fresh)
        else:
            found.append((time, fresh))
    return found


def short(names: list[str]) -> str:
    """Two names at most, and the number of others."""
    more = f" +{len(names) - 2}" if len(names) > 2 else ""
    return " + ".join(axes.plain(name, 22) for name in names[:2]) + more


def mark_decisions(run: Run, ax: Axes) -> int:
    """Draw the decisions; gives back the number of rows of labels above the axes."""
    ends = [-1.0] * MOST_ROWS  # how far each row of labels reaches, as a share of the axes
    used = 0
    every = moments(run)
    lines = every if len(every) <= MOST_LINES else [moment for moment in every if moment[1]][:MOST_LINES]
    for time, names in lines:
        x, share = float(axes.dates(run, time)), time / run.horizon
        ax.axvline(x, color=axes.INK, linewidth=0.8 if names else 0.35, linestyle=(0, (4, 2)), zorder=3)
        text = short(names)
        width = LETTER * len(text)
        left = min(share, 1.0 - width)
        row = next((row for row, end in enumerate(ends) if end < left), None)
        if not names or row is None:
            continue
        ends[row], used = left + width + 0.01, max(used, row + 1)
        label(ax, x, text, row, right=left < share)
    return used


def label(ax: Axes, x: float, text: str, row: int, *, right: bool) -> None:
    """A label above the axes at x, in one of several rows, on its right or on its left."""
    shift, side = (-2 if right else 2, 3 + axes.ROW * row), "right" if right else "left"
    axes.note(ax, text, (x, 1.0), shift, ha=side, color=axes.INK, annotation_clip=False)
