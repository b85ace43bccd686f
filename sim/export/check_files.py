"""A check as files for a build server: JUnit XML, which shows each promise as a test, and a table in Markdown."""

import xml.etree.ElementTree as ET

from sim.studies.check import Check
from sim.studies.promise_findings import BROKEN, KEPT, UNDECIDED, Finding, kept_out
from sim.studies.search import clean_runs
from sim.wording import percent, points

SIGNS = {KEPT: "✅ kept", BROKEN: "❌ broken", UNDECIDED: "❔ undecided"}


def margin_words(one: Finding) -> str:
    """The margin with its interval, signed: points, or parts of the limit or the baseline."""
    if not abs(one.margin) < 1e6:  # nothing to divide by, or never
        return f"{one.margin:+.4g}".replace("nan", "unknown")
    interval = f" ({points(one.low)} to {points(one.high)})" if one.low < one.high else ""
    return f"{points(one.margin)}{interval}"


def junit(check: Check, *, undecided: str = "fail") -> str:
    """The check as JUnit XML: one test case per promise; broken is a failure, undecided one too, or else skipped.

    undecided: 'fail' or 'pass', as the exit code takes it.
    """
    failures = check.count(BROKEN) + (check.count(UNDECIDED) if undecided == "fail" else 0)
    counts = {
        "tests": str(len(check.findings)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(check.count(UNDECIDED) if undecided != "fail" else 0),
    }
    root = ET.Element("testsuites", {"name": "meltpoint check", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": f"{check.title}: {check.playbook}", **counts})
    for one in check.findings:
        case = ET.SubElement(suite, "testcase", {"classname": f"{check.title}.{check.playbook}", "name": one.promise})
        text = (
            f"{one.verdict}: {one.reached}; limit {one.limit}; margin {margin_words(one)}. {one.why} {one.note}".strip()
        )
        if one.verdict == BROKEN or (one.verdict == UNDECIDED and undecided == "fail"):
            failure = ET.SubElement(case, "failure", {"type": one.verdict, "message": text})
            failure.text = f"kept in {one.held} of {one.seeds} runs"
        elif one.verdict == UNDECIDED:
            ET.SubElement(case, "skipped", {"message": text})
        ET.SubElement(case, "system-out").text = f"{text} Kept in {one.held} of {one.seeds} runs. {check.since}".strip()
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def markdown(check: Check) -> str:
    """The check as a heading, a sentence and a table, for a build's summary or a comment."""
    lines = [
        f"### {cell(check.title)}: promises",
        "",
        cell(check.sentence),
        "",
        "| | promise | reached | limit | margin | runs |",
        "|---|---|---|---|---|---|",
    ]
    for one in check.findings:
        cells = (SIGNS[one.verdict], one.promise, one.reached, one.limit, margin_words(one))
        lines.append(f"| {' | '.join(map(cell, cells))} | {one.held} of {one.seeds} |")
    lines += ["", cell(explanation(check)) if check.since else explanation(check)]
    lines += [f"- {cell(one.promise)}: {cell(one.why)}" for one in check.findings if one.why and one.verdict != KEPT]
    lines += [f"- {cell(one.promise)}: {cell(one.note)}" for one in check.findings if one.note]
    return "\n".join(lines) + "\n"


def explanation(check: Check) -> str:
    """What the margins and the verdict are."""
    lines = ["Margins are in points, or in percent of a limit in dollars or of the baseline, with 95 % intervals."]
    if any(one.limit.endswith(" $0") for one in check.findings):
        lines.append("Where the limit is $0 they are in percent of what the GPUs cost.")
    if len(check.seeds) > 1:
        share, known = percent(check.runs), percent(check.confidence)
        clean = clean_runs(check.runs, check.confidence)
        lines.append(
            f"Kept: at least {share} of all runs keep the promise, with {known} confidence, from margins taken as "
            f"normal; by the count of runs alone that takes {clean} without a failure."
        )
    if any("baseline" in one.promise for one in check.findings):
        people = "people" if check.same_people else "seeds"
        lines.append(f"Against a baseline, the mean over runs of the same {people} counts.")
    lines += [*([check.since] if check.since else []), *kept_out(check.kept_out)]
    return " ".join(lines)


def cell(text: str) -> str:
    """A text that stays in its cell and is not read as markup."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
