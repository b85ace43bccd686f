"""Locust (docs.locust.io): statistics by request name, their history, and failures, as CSV. None of them is a log."""

from collections.abc import Sequence
from pathlib import Path

from sim.tables.formats.reader import Head, Reader, whole_text
from sim.tables.small_tables import cells_of

REFUSALS = ("429", "503")


def rows_of(path: Path) -> list[dict[str, str]]:
    names, *rows = cells_of(whole_text(path))
    return [dict(zip(names, row, strict=False)) for row in rows if any(row)]


def number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def total(rows: list[dict[str, str]], column: str) -> float:
    return sum(number(row[column]) for row in rows)


class LocustStats(Reader):
    """`_stats.csv`: a row per name, and one for all together."""

    name = "locust-stats"
    title = "statistics of a Locust test, one row per name"

    def recognises(self, head: Head) -> bool:
        return {"Type", "Name", "Request Count", "Failure Count", "Requests/s"} <= set(head.names)

    def figures(self, paths: Sequence[Path]) -> str:
        rows = rows_of(paths[0])
        named = [row for row in rows if row["Name"] != "Aggregated"]
        every = [row for row in rows if row["Name"] == "Aggregated"][:1] or named
        asked, failed, rate = (total(every, column) for column in ("Request Count", "Failure Count", "Requests/s"))
        lasted = asked / rate if rate > 0 else float("nan")
        each = []
        for row in named:
            ok = number(row["Request Count"]) - number(row["Failure Count"])
            p90 = number(row.get("90%")) / 1000
            each.append(
                f"{row['Type']} {row['Name']}: {number(row['Request Count']):,.0f} requests, "
                f"{number(row['Failure Count']):,.0f} failed, {ok:,.0f} answered ({ok / lasted:.3g}/s), p90 {p90:.3g} s"
            )
        return (
            f"{asked:,.0f} requests in {lasted:.4g} s ({rate:.4g}/s), {failed:,.0f} failed; {'; '.join(each)}. Times "
            "are of failures too, and percentiles are rounded to two digits"
        )


class LocustHistory(Reader):
    """`_stats_history.csv`: a row a second, with totals so far."""

    name = "locust-history"
    title = "the history of a Locust test's statistics"

    def recognises(self, head: Head) -> bool:
        return {"Timestamp", "User Count", "Total Request Count"} <= set(head.names)

    def figures(self, paths: Sequence[Path]) -> str:
        rows = [row for row in rows_of(paths[0]) if row.get("Name") == "Aggregated"] or rows_of(paths[0])
        if not rows:
            return "it has no rows"
        last, first = rows[-1], rows[0]
        lasted = number(last["Timestamp"]) - number(first["Timestamp"])
        return (
            f"{number(last['Total Request Count']):,.0f} requests in {lasted:,.0f} s, "
            f"{number(last.get('Total Failure Count')):,.0f} failed, {number(last['User Count']):,.0f} users at the "
            "end. Its users wait for each answer before they ask again, so the rate follows the latency"
        )


class LocustFailures(Reader):
    """`_failures.csv`: failures by kind."""

    name = "locust-failures"
    title = "failures of a Locust test by kind"

    def recognises(self, head: Head) -> bool:
        return {"Method", "Name", "Error", "Occurrences"} <= set(head.names)

    def figures(self, paths: Sequence[Path]) -> str:
        rows = rows_of(paths[0])
        refused = total([row for row in rows if any(code in row["Error"] for code in REFUSALS)], "Occurrences")
        every = total(rows, "Occurrences")
        each = "; ".join(f"{number(row['Occurrences']):,.0f} of {row['Error']}" for row in rows)
        return f"{every:,.0f} failures, {refused:,.0f} of them refusals (429, 503): {each}"
