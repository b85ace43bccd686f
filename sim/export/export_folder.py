"""A schedule as a folder: the rows, where they come from, and ready scripts for k6 and Locust."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sim.errors import BadInput
from sim.export.schedule import COLUMNS, Schedule, rates, virtual_users
from sim.writing import new_folder, replacing

TARGETS = {"csv": (), "k6": ("k6.js",), "locust": ("locustfile.py",)}
TEMPLATES = Path(__file__).parent / "templates"


def targets_of(text: str) -> list[str]:
    """Targets from their names with commas. Raises BadInput for one that is not known."""
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted or [text]:
        if name not in TARGETS:
            raise BadInput("there is no such target", key="--to", value=name, expected=", ".join(TARGETS))
    return wanted


def check_url(url: str) -> str:
    """The address itself. Raises BadInput if nothing can be posted there."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or any(c.isspace() for c in url):
        raise BadInput("nothing can be sent there", key="--url", value=url, expected="like http://staging.example/v1")
    return url


def check_folder(folder: Path, *, replace: bool) -> None:
    """Refuse a folder that is there, but for an earlier export that may be replaced."""
    if os.path.lexists(folder) and not (replace and not folder.is_symlink() and is_export(folder)):
        expected = "a new folder, or --replace where it holds nothing but an earlier export"
        raise BadInput("this folder is there already", file=folder, expected=expected)


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export and nothing else."""
    known = {"schedule.csv", "schedule.json", "k6-load.json", *(name for names in TARGETS.values() for name in names)}
    try:
        about = json.loads((folder / "schedule.json").read_bytes())
        return {"seed", "rates", "url"} <= set(about) and {path.name for path in folder.iterdir()} <= known
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def write_export(
    schedule: Schedule, folder: Path, targets: list[str], *, url: str, replace: bool = False
) -> list[Path]:
    """Write the folder, all of it or nothing; the files in it.

    schedule.csv and schedule.json are always there: the scripts read them. Raises BadInput if the folder cannot be made
    or is there already.
    """
    check_folder(folder, replace=replace)
    address = check_url(url)
    with replacing(folder), new_folder(folder) as unfinished:
        fill(schedule, unfinished, targets, address)
    return sorted(folder.iterdir())


def fill(schedule: Schedule, folder: Path, targets: list[str], url: str) -> None:
    schedule.asks.to_csv(folder / "schedule.csv", columns=[*COLUMNS], index=False, lineterminator="\n")
    r = rates(schedule)
    figures = {"mean_per_s": r.mean, "busiest_second_per_s": r.peak, "full_mean_per_s": r.full_mean}
    figures |= {"full_peak_per_s": r.full_peak, "full_peak_width_s": r.width}
    write_json({**schedule.about, "rates": figures, "url": url}, folder / "schedule.json")
    for target in targets:
        for name in TARGETS[target]:
            shutil.copyfile(TEMPLATES / name, folder / name)
    if "k6" in targets:
        write_json({"seconds": schedule.length, "vus": virtual_users(schedule)}, folder / "k6-load.json")


def write_json(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
