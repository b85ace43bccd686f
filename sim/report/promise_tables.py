"""How runs keep the promises that their scenario makes, as tables for reports and for the terminal."""

from collections.abc import Sequence

from sim.report.tables import Table
from sim.results.run import Run
from sim.studies.compare import Comparison
from sim.studies.promise_findings import NOT_JUDGED, Finding, findings_of

TITLE = "What the scenario promises"
ONE_RUN = "Of this run alone; 'meltpoint check' judges several."
KEPT_BY = "Kept: with how many of the seeds, which 'meltpoint check' makes a verdict of."


def promises_of_run(run: Run) -> list[Table]:
    """A row for each promise of its scenario; no table where it makes none."""
    return promised(findings_of(run))


def promised(found: Sequence[Finding]) -> list[Table]:
    """A row for each promise that one run keeps or breaks; no table where there is none."""
    rows, notes = [], [ONE_RUN]
    for one in found:
        judged = one.reached != NOT_JUDGED
        rows.append([one.promise, one.verdict.upper() if judged else NOT_JUDGED, one.reached * judged, one.limit])
        notes += [f"'{one.promise}': {one.note}."] if one.note else []
    return [Table(TITLE, ["promise", "verdict", "reached", "limit"], rows, labels=2, note=" ".join(notes))] * bool(rows)


def promises_compared(comparison: Comparison) -> list[Table]:
    """A row for each playbook, the best first, and promise; no table where there is no promise."""
    rows, notes = [], dict[str, None]()
    every = comparison.promises.to_dict("records")
    for row in sorted(every, key=lambda row: comparison.ranking.index(row["playbook"])):
        judged = row["reached"] != NOT_JUDGED
        kept = f"{row['held']} of {row['seeds']}" if judged else NOT_JUDGED
        rows.append([row["playbook"], row["promise"], kept, row["reached"] if judged else "", row["limit"]])
        under = f", '{row['playbook']}'" if judged else ""
        notes |= {f"'{row['promise']}'{under}: {row['note']}.": None} if row["note"] else {}
    head = [comparison.noun, "promise", "kept", "reached", "limit"]
    return [Table(TITLE, head, rows, labels=3, note=" ".join([KEPT_BY, *notes]))] * bool(rows)
