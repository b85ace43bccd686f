"""Logs in the W3C extended format, whose '#Fields:' line names the columns: AWS CloudFront and Microsoft IIS."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import Head, Reader, Requests, in_chunks
from sim.tables.opening import opened

COLUMNS = ("time", "user", "method", "path", "status", "duration", "result")
USERS = ("cs-username", "c-ip")


def fields_of(head: Head) -> list[str]:
    line = next((one for one in head.lines if one.startswith("#Fields:")), "")
    return line.removeprefix("#Fields:").split()


def is_cloudfront(head: Head) -> bool:
    return any(name.startswith("x-edge-") for name in fields_of(head))


class CloudFrontLog(Reader):
    """CloudFront's standard log: tab-separated, stamped when the answer was finished, `time-taken` in seconds."""

    name = "cloudfront"
    title = "a standard log of AWS CloudFront"

    def recognises(self, head: Head) -> bool:
        return is_cloudfront(head)

    def requests(self, head: Head) -> Requests:
        return w3c_requests(head, per=1.0, leave_out={"result": ("^(Refresh)?Hit$", "answers from the cache")})


class IisLog(Reader):
    """IIS: space-separated, UTC, stamped in practice when the answer was sent, `time-taken` in milliseconds."""

    name = "iis"
    title = "a W3C log of Microsoft IIS"

    def recognises(self, head: Head) -> bool:
        return bool(fields_of(head)) and not is_cloudfront(head)

    def requests(self, head: Head) -> Requests:
        notes = ("requests that HTTP.sys refused itself are in another file (HTTPERR)",)
        return w3c_requests(head, per=1e3, notes=notes)


def w3c_requests(head: Head, per: float, **more: Any) -> Requests:
    return Requests(
        blocks=partial(w3c_blocks, tabbed=is_cloudfront(head)),
        stamped="end",
        extra={"duration_s": ("duration", per), "status": ("status", 1.0)},  # the fields may change within a file
        zone="UTC",
        **more,
    )


def w3c_blocks(path: Path, broken: list[Broken], progress: Progress, tabbed: bool) -> Iterator[RowBlock]:
    return in_chunks(w3c_rows(path, broken, progress, tabbed), COLUMNS)


def w3c_rows(
    path: Path, broken: list[Broken], progress: Progress, tabbed: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows under the '#Fields:' line above them, which may change within a file."""
    stream, raw = opened(path)
    size, names, number = max(path.stat().st_size, 1), [], 0
    with raw:
        for data in stream:
            number += 1
            line = data.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace").strip("\r\n")
            if line.startswith("#Fields:"):
                names = line.removeprefix("#Fields:").split()
                missing = {"date", "time"} - set(names)
                if missing:
                    raise BadInput("the log does not say when its requests were", file=path, value=sorted(missing))
            elif line and not line.startswith("#"):
                cells = next(csv.reader([line], delimiter="\t" if tabbed else " ", quoting=csv.QUOTE_NONE))
                if len(cells) != len(names):
                    broken.append(Broken(number, line[:200], len(cells)))
                else:
                    yield number, w3c_row(dict(zip(names, cells, strict=True)))
            if number % 10_000 == 0:
                progress(raw.tell() / size)


def w3c_row(cells: dict[str, str]) -> dict[str, Any]:
    """One request."""
    status = cells.get("sc-status", "")
    return {
        "time": f"{cells['date']}T{cells['time']}",
        "user": next((cells[name] for name in USERS if cells.get(name, "-") != "-"), "-"),
        "method": cells.get("cs-method", ""),
        "path": cells.get("cs-uri-stem", ""),
        "status": "499" if status == "000" else status,  # the viewer left before the answer
        "duration": cells.get("time-taken", ""),
        "result": cells.get("x-edge-result-type", ""),
    }
