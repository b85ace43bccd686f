"""A runbook for the people on call: the switches of a playbook in order, what each did in a run, and the ways back."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from sim.report import words
from sim.report.blocks import Lines, Part, markdown
from sim.report.page import span
from sim.report.playbook_pages import in_brief
from sim.report.switches import begins, dated, ending, switch_sentences, switch_table, switches_of
from sim.report.tables import Table
from sim.results.metrics import recorded
from sim.results.run import Run
from sim.results.timeline import DECIDED, IN_TIME
from sim.results.verdict import verdict
from sim.wording import amount, duration, names_in_words

MOST_TURNS = 40  # rows of the expected curve


def runbook(
    run: Run, has: Mapping[int, Sequence[str]], remarks: Mapping[int, Sequence[str]], before: Sequence[str]
) -> str:
    """The runbook as Markdown, from one run of its playbook.

    has, remarks: by the number of the switch, the files that hold it and what differs there. before: sentences on the
    last instant at which to act.
    """
    m = run.manifest
    made = (
        f"Every figure is of one run: playbook '{m['playbook']}', seed {m['seed']}. Other people come on the day: "
        f"'meltpoint compare' gives intervals."
    )
    parts = [
        in_brief(verdict(run), "expect", "What to expect", made),
        Part("switches", "Switches", [Lines(switch_sentences(run), "steps"), switch_table(run)]),
        Part("before", "Act before", [Lines(list(before))]),
        Part("curve", "Expected curve", [curve(run)]),
        Part("back", "Ways back", [Lines(ways_back(run), "steps")]),
        Part("files", "Files", [Lines(in_files(run, has), "steps"), *remarked(remarks, run, has)]),
    ]
    return markdown({**m, "title": f"Runbook: {m['playbook']}, for {m['title']}"}, span(run), parts)


def turns(run: Run) -> list[tuple[float, str, str]]:
    """When switches were thrown or ended in the run, after its start: seconds, what, why."""
    found = [
        (at, f"{switch.name}: {'on' if begins else 'off'}", "its date")
        for at, switch, begins in dated(run)
        if switch.step.when is None
    ]
    table = run.decisions[run.decisions["knob"] == "step"]
    columns = zip(table["time"], table["policy"], table["new"], table["reason"], strict=True)
    found += [(float(at), f"{policy}: {'on' if new > 0 else 'off'}", str(why)) for at, policy, new, why in columns]
    return sorted(turn for turn in found if turn[0] < run.horizon)


def curve(run: Run) -> Table:
    """Images in time and the queue, in a window before and after each turn of a switch."""
    window = float(run.manifest["alive"]["window"])
    every = turns(run)
    rows = [[words.instant(run, at), what, why, *around(run, at, window)] for at, what, why in every[:MOST_TURNS]]
    left = len(every) - len(rows)
    note = (
        f"Means over the {duration(window)} before and after, to the nearest bins of the run's timeline. In time: of "
        f"the images first wanted then. Queue: requests waiting, of all pools."
        + (f" {left} later turns are left out." if left else "")
        if rows
        else "No switch is thrown or ended after the start: the figures above are those of the whole run."
    )
    head = ["when (UTC)", "switch", "why", "in time before", "after", "queue before", "after"]
    return Table("The run before and after each turn of a switch", head, rows, labels=3, note=note)


def around(run: Run, at: float, window: float) -> list[str]:
    """Shares in time before and after an instant, and mean queues."""
    line = recorded(run)
    wanted = np.clip([at - window, at, at + window], 0.0, run.horizon)
    edges = line.edges[line.nearest(wanted)]
    some = line.between(edges)
    counts, widths = some.counts.sum(axis=(1, 2)), np.diff(edges)
    shares = [c[IN_TIME] / c[DECIDED] if c[DECIDED] else math.nan for c in counts]
    queues = [q.sum() / w / run.scale if w > 0 else math.nan for q, w in zip(some.queue, widths, strict=True)]
    return [*(words.share(float(s)) for s in shares), *(amount(float(q)) for q in queues)]


def ways_back(run: Run) -> list[str]:
    """How each switch is ended, and what is then as before."""
    found, tick = [], run.manifest["scenario"].get("control_tick", "60 s")
    for switch in switches_of(run):
        step, policy = switch.step, switch.step.policy
        if (moving := getattr(policy, "moving", None)) is not None:
            after = f"the GPUs are back in their pool after {duration(moving)}"
        elif policy.advice.family == "supply":
            after = "the fleet is at once what it is without the switch, and GPUs on order are given up"
        else:
            after = f"what it set is as before at the next control tick ({tick})"
        again = ""
        if step.when is not None and step.when.cool_down > 0:
            again = f" It is not thrown again for {duration(step.when.cool_down)} after that."
        by_hand = " in the playbook. Ended by hand," if ending(run, step) == "never ends" else ". When it ends,"
        found.append(f"{switch.name}: {ending(run, step)}{by_hand} {after}.{again}")
    return found


def in_files(run: Run, has: Mapping[int, Sequence[str]]) -> list[str]:
    """The files that hold each switch, or that none does."""
    found = []
    for number, switch in enumerate(switches_of(run), 1):
        files = list(has.get(number, []))
        by_hand = "; Prometheus only says when" if files else ""
        acts = [file for file in files if not file.startswith("alerts")]
        said = f"in {names_in_words(files)}" if acts else f"in no file that acts{by_hand}: it needs code of your own"
        found.append(f"{switch.label}: {said}.")
    return found


def remarked(remarks: Mapping[int, Sequence[str]], run: Run, has: Mapping[int, Sequence[str]]) -> list[Lines]:
    """What tools do differently, who keeps the switches' dates, and where metrics have their names from."""
    lines = [f"Switch {number}, {remark}" for number, some in remarks.items() for remark in some]
    steps = [switch.step for switch in switches_of(run)]
    turns = any(begins(run, one) != "from the start" or ending(run, one) != "never ends" for one in steps)
    general = "Metrics are named as in docs/runbook.md."
    if turns:
        flags = any("flags.json" in some for some in has.values())
        knows = "Only flags.json knows dates: put the other files" if flags else "No file knows dates: put them"
        general = f"{knows} in force, and take them out, at the instants above. {general}"
    return [*([Lines(lines, "list", "What the tools do differently")] if lines else []), Lines([general])]
