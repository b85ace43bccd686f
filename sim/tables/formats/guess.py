"""A description, in a few words for a message, of a file that no reader recognised."""

import re

from sim.errors import cut, printable
from sim.tables.formats.reader import Head
from sim.tables.headers import RULE

SPACES = "sed -E 's/^ +| +$//g; s/ +/|/g'"
MAGIC = {
    "%PDF": "a PDF",
    "PK\x03\x04": "a zip archive, or a spreadsheet",
    "SQLite format 3": "a database of SQLite",
    "<!DOCTYPE": "an HTML page",
    "<html": "an HTML page",
    "<?xml": "an XML document",
}
LINE_PROTOCOL = re.compile(r"^[^\s,=]+(,\S+=\S+)* \S+=.* \d{16,19}$")
DATED = re.compile(r"\d{4}[-/]\d\d[-/]\d\d|\d\d/[A-Z][a-z][a-z]/\d{4}|[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d")


def is_padded(head: Head) -> bool:
    """Whether lines have the same number of words, and the first one names columns with several spaces between."""
    if "  " not in head.line.strip() or re.search(r"\d", head.line):
        return False
    widths = {len(line.split()) for line in head.lines[:20] if not RULE.match(line)}
    return len(head.lines) > 1 and widths == {len(head.line.split())} and max(widths) > 2


def looks_like(head: Head) -> str:
    """A noun: 'a JSON document with the keys ...', 'a log with a date in each line', 'a table with ...'."""
    line = head.line
    for beginning, what in MAGIC.items():
        if line.lstrip().lower().startswith(beginning.lower()):
            return what
    record = head.record or head.document or head.listed
    if record:
        lined = len(head.lines) > 1 and bool(head.record)
        keys = ", ".join(printable(str(key)) for key in list(record)[:8])
        kind = "JSON lines" if lined else "a JSON list of objects" if head.listed else "a JSON document"
        return f"{kind} with the keys {cut(keys)}"
    if re.match(r"\s*(\{|\[\s*\{)", line) or (line.lstrip().startswith("[") and not DATED.search(line)):
        return "a JSON document, perhaps cut off"
    if LINE_PROTOCOL.match(line):
        return "InfluxDB's line protocol, which 'influx query' exports as CSV"
    if is_padded(head):
        return f"a table padded with spaces (of Slurm, --parsable2 prints one with |; of another, {SPACES} makes one)"
    if DATED.search(line) and len(head.names) < 2:
        return f"a log with a date in each line, of no known layout: {cut(printable(line), 80)}"
    if len(head.names) > 1:
        return f"a table with {len(head.names)} columns: {cut(', '.join(map(printable, head.names)))}"
    return f"text that begins with {cut(printable(line), 80)!r}"
