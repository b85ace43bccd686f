"""Places for results: checked before anything is simulated, and never a place where something else would be lost."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.console import say_where
from sim.errors import BadInput, printable
from sim.writing import write_bytes

if TYPE_CHECKING:
    import pandas as pd

# How the format of a result begins.
OURS = ("meltpoint-run/", "meltpoint-comparison/", "meltpoint-size/", "meltpoint-decision/")
MANIFESTS = ("manifest.json", "comparison.json", "size.json", "decision.json")
# Files beside the runs of a comparison.
BESIDE = ("comparison.json", "differences.csv", "report.html", "report.md", "runs.csv")
OF_RUNS = tuple(f"{name}.parquet" for name in ("requests", "batches", "users", "decisions", "fleet", "killed"))
# What a result may hold besides the files that its manifest lists, which those of earlier versions do not.
PARTS = frozenset({*MANIFESTS, *BESIDE, *OF_RUNS, "timeline.npz", "curve.png"})
GENERATOR = '<meta name="generator" content="meltpoint">'  # in the head of every report
MARKDOWN = "<!-- Made by meltpoint. -->"  # in that of one as Markdown
LONGEST_NAME = 100
LEAST_FREE = 32 * 2**20  # bytes: more than a small result takes, its report and the files being written included


def file_name(text: str, key: str, file: str) -> str:
    """A name from a file, where it can be the name of a folder. Raises BadInput where it can not."""
    plain = text == text.strip() and text.isprintable() and not set(text) & set('/\\:*?"<>|')
    if not plain or text.startswith(".") or not 0 < len(text.encode("utf-8", "replace")) <= LONGEST_NAME:
        expected = f"at most {LONGEST_NAME} letters, digits, spaces and signs like - and _, beginning with none of /\\."
        raise BadInput("this name cannot be the name of a folder", file=file, key=key, value=text, expected=expected)
    return text


def folder_names(playbooks: list[str], file: str) -> None:
    """Raise BadInput where the runs of these playbooks cannot lie in folders of their names, beside each other."""
    taken = {name.casefold(): f"the file {name} of the comparison" for name in BESIDE}
    for name in playbooks:
        key = f"playbooks.{name}"
        other = taken.setdefault(file_name(name, key, file).casefold(), f"playbook {name}")
        if other != f"playbook {name}":
            expected = f"another than {other}"
            raise BadInput("two results would have one name", file=file, key=key, value=name, expected=expected)


def result_folder(out: Path | None, name: str, *, replace: bool) -> Path:
    """The folder for results: the one asked for, which must be new unless replaced, or the first free one in runs/.

    Raises BadInput where nothing can be written.
    """
    if out is None:
        number = 1
        while os.path.lexists(folder := Path("runs") / (name if number == 1 else f"{name}-{number}")):
            number += 1
        refuse_unwritable(folder)
        return folder
    refuse_unwritable(out)
    if os.path.lexists(out):
        if not (replace and is_result(out)):
            expected = "a new folder, or --replace where it holds a result"
            raise BadInput("this folder is there already", file=out, expected=expected)
        foreign = next(others(out), None)
        if foreign is not None:
            expected = "a folder that holds nothing but the result"
            raise BadInput("something else is in this folder and would be lost", file=foreign, expected=expected)
    return out


def is_result(folder: Path) -> bool:
    """Whether a folder, and not a link to one, holds what run or compare wrote: the format in its manifest says so."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return any(str(manifest_of(folder / name).get("format")).startswith(OURS) for name in MANIFESTS)


def manifest_of(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty where there is none."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def others(folder: Path) -> Iterator[Path]:
    """What is in the folder of a result and was not written with it."""
    listed = {name for one in MANIFESTS for name in manifest_of(folder / one).get("files", ())}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or (path.is_dir() and not is_result(path)):
            yield path
        elif path.is_dir():
            yield from others(path)
        elif path.name not in PARTS | listed:
            yield path


def refuse_unwritable(path: Path) -> None:
    """Raise BadInput where nothing can be written at a path that is still to be made."""
    try:
        str(path).encode("utf-8")  # a manifest holds names as UTF-8
        os.lstat(path / "a-file-in-it-with-a-long-name.parquet")  # too long, or not a name at all
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "strerror", None) or wrong
        raise BadInput(f"nothing can be written there ({reason})", file=path, expected="a new folder") from None
    above = next(folder for folder in Path(os.path.abspath(path)).parents if os.path.lexists(folder))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        expected = "a folder in one that can be written to"
        raise BadInput(f"nothing can be written in {printable(str(above))}", file=path, expected=expected)
    free = shutil.disk_usage(above).free
    if free < LEAST_FREE:
        expected = f"{LEAST_FREE // 2**20} MiB or more"
        raise BadInput(f"only {free / 2**20:.3g} MiB are free there", file=path, expected=expected)


def refuse_ending(path: Path, *endings: str) -> None:
    """Raise BadInput where the name of a file has none of these endings, if there are any."""
    if endings and path.suffix not in endings:
        raise BadInput("this name has another ending", file=path, expected=f"a name ending in {' or '.join(endings)}")


def refuse_file(path: Path | None, *endings: str) -> None:
    """Raise BadInput, before minutes of work, where a file cannot be written, or its name has none of these endings."""
    if path is None:
        return
    refuse_ending(path, *endings)
    there = path if path.exists() else path.parent
    if path.is_dir() or not path.parent.is_dir() or not os.access(there, os.W_OK):
        raise BadInput("this file cannot be written", file=path, expected="a file in a folder that can be written to")


def refuse_other_file(path: Path, *endings: str) -> None:
    """Raise BadInput where a report would replace a file that is none, cannot be written, or has another ending."""
    refuse_ending(path, *endings)
    refuse_unwritable(path)
    if os.path.lexists(path) and not is_earlier(path, begins_as_report):
        raise BadInput("this file is there already, and is no report", file=path, expected="a new file, or a report")


def refuse_taken(path: Path, ours: Callable[[Path], bool], *, replace: bool) -> None:
    """Raise BadInput where a file would be lost: one is there, unless it is to be replaced and is an earlier result."""
    if os.path.lexists(path) and not (replace and is_earlier(path, ours)):
        expected = "another name, or --replace where it is an earlier result"
        raise BadInput("this file is there already", file=path, expected=expected)


def is_earlier(path: Path, ours: Callable[[Path], bool]) -> bool:
    """Whether a path is a file, and not a link to one, that can be read and is an earlier result by its content."""
    try:
        return path.is_file() and not path.is_symlink() and ours(path)
    except OSError:
        return False


def begins_with(text: str) -> Callable[[Path], bool]:

    def begins(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(text.encode())) == text.encode()

    return begins


def begins_as_report(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return GENERATOR.encode() in head or head.startswith(MARKDOWN.encode())


def write_file(content: "pd.DataFrame | str", path: Path) -> None:
    """Write a text, or a table as CSV or Parquet, in full or not at all. Raises BadInput."""

    if not isinstance(content, str) and path.suffix == ".parquet":
        packed = content.to_parquet(index=False)
    else:
        text = content if isinstance(content, str) else content.to_csv(index=False, lineterminator="\n")
        packed = text.encode("utf-8", "replace")
    try:
        write_bytes(packed, path)
    except OSError as wrong:
        expected = "a file in a folder that is there, and has space"
        raise BadInput(f"this file cannot be written ({wrong.strerror})", file=path, expected=expected) from None


def write_page(page: str, path: Path) -> Path:
    """Write a page in full or not at all, in a new folder if need be; gives back the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(page.encode("utf-8", errors="replace"), path)


def save_table(table: "pd.DataFrame", out: Path | None, what: str = "Table") -> None:
    """Write a table as CSV or Parquet and say where, if it was asked for. Raises BadInput."""
    if out is not None:
        write_file(table, out)
        say_where(what, out)


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib as PNG or SVG and say where. Raises BadInput."""
    from sim.plots.saving import write_figure

    say_where("Figure", write_figure(figure, path))
