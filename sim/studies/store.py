"""The store of a study's runs: each under the hash of all that it depends on, so that none is made twice."""

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.model.controls import Policy
from sim.policies.playbook import Step
from sim.results.manifest import versions
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.studies.run_record import FORMAT, Record
from sim.writing import in_full

LOG = logging.getLogger("meltpoint")
PACKAGE = Path(__file__).resolve().parent.parent
NOT_SIMULATED = ("cli", "report", "export", "plots", "validation")  # rooms that no figure of a run depends on
LABELS = ("title", "question", "overrides", "playbooks", "promises", "record")  # keys that change nothing in a record


@dataclass(frozen=True)
class Cell:
    """One run of a study, as simulate() takes it. recording: no more than its figures need where None."""

    scenario: Scenario
    playbook: str | Sequence[Step | Policy] | None
    seed: int = 1
    unlimited: bool = False
    engine: str = "compiled"
    recording: Recording | None = None

    @property
    def keyed(self) -> bool:
        """Whether a key can name the run: not of policies that are somebody's own code, nor of the readable engine."""
        return self.engine == "compiled" and (isinstance(self.playbook, str) or (self.unlimited and not self.playbook))

    @property
    def key(self) -> str:
        """SHA-256 of all that the run's record depends on, code and libraries included, and of nothing else."""
        s, steps = self.scenario, None
        if isinstance(self.playbook, str):
            written = s.model_dump(mode="json", by_alias=True, include={"playbooks": {self.playbook}}, warnings=False)
            steps = written["playbooks"][self.playbook]
        rows = [] if self.recording is None else [self.recording.rows, self.recording.sampled]
        parts = [FORMAT, s.digest_without(*LABELS), steps, self.seed, self.unlimited, *rows, versions(), code()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def about(self) -> dict[str, Any]:
        """What the store says of the run in a list."""
        s = self.scenario
        gpus = {name: "unlimited" if self.unlimited else pool.gpus for name, pool in s.pools.items()}
        return {"title": s.title, "playbook": self.playbook, "seed": self.seed, "gpus": gpus, "scale": s.scale}


@cache
def code() -> str:
    """The hash of the package's own sources that a figure of a run can depend on."""
    found = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE)
        if name.parts[0] not in NOT_SIMULATED:
            found.update(f"{name.as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Store:
    """A folder with one file per run. A run is in it if its file has its final name; a damaged file counts as none."""

    folder: Path

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> Record | None:
        """The record under a key; None where there is none that can be read."""
        content = read(self.path(key))
        if content is None:
            return None
        body = content["record"]
        return Record(**{**body, "figures": plain(body["figures"]), "groups": [plain(row) for row in body["groups"]]})

    def put(self, cell: Cell, record: Record) -> None:
        """Write a run's record, in full or not at all, whatever happens meanwhile. Raises BadInput where it cannot."""
        groups = [writable(row) for row in record.groups]
        body = {**vars(record), "figures": writable(record.figures), "groups": groups}
        content = {"key": cell.key, "sha256": digest(body), "about": cell.about(), "versions": versions()}
        written = {**content, "code": code(), "record": body}
        self.write(cell.key, json.dumps(written, allow_nan=False, separators=(",", ":")))

    def merge(self, other: Path | str) -> int:
        """Copy the runs of another store that this one lacks; how many they were. Raises BadInput."""
        missing = [path for path in Store(Path(other)).files() if not self.path(path.stem).is_file() and read(path)]
        for path in missing:
            self.write(path.stem, path.read_text(encoding="utf-8"))
        return len(missing)

    def write(self, key: str, text: str) -> None:
        """Write a file in full or not at all. Raises BadInput where it cannot."""
        path = self.path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with in_full(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as wrong:
            why = f"a run cannot be kept here ({wrong.strerror})"
            expected = "a folder that can be written, by --store or MELTPOINT_STORE; or --no-store"
            raise BadInput(why, file=self.folder, expected=expected) from None

    def files(self) -> Iterator[Path]:
        """The files of all runs, in the order of their keys."""
        yield from sorted(self.folder.glob("??/*.json"))

    def listed(self) -> list[dict[str, Any]]:
        """One row per run, the newest last: key, title, playbook, seed, gpus, scale, current, bytes, written.

        current: whether this version of the code would make the same run, and so uses it. written: seconds since 1970.
        """
        rows = []
        for path in self.files():
            content, known = read(path), path.stat()
            about = {"title": "(damaged)"} if content is None else content["about"]
            current = content is not None and content["code"] == code() and content["versions"] == versions()
            row = {"key": path.stem, "current": current, "bytes": known.st_size, "written": known.st_mtime}
            rows.append({**row, **about})
        return sorted(rows, key=lambda row: (row["written"], row["key"]))

    def prune(self, *, older: float = math.inf, everything: bool = False) -> tuple[int, int]:
        """Delete what no study can use any more: runs of other versions, damaged ones, files that were never finished.

        Also those written more than `older` seconds ago, or all of them. Returns how many files and bytes are gone.
        """
        now = time.time()
        doomed = [
            self.path(row["key"])
            for row in self.listed()
            if everything or not row["current"] or now - row["written"] > older
        ]
        doomed += [path for path in self.folder.glob("??/.*-*") if now - path.stat().st_mtime > 3600 or everything]
        size = sum(path.stat().st_size for path in doomed)
        for path in doomed:
            path.unlink(missing_ok=True)
        return len(doomed), size


def read(path: Path) -> dict[str, Any] | None:
    """A run's file; None where there is none, or a damaged one, of which a line in the log tells."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] == path.stem and content["sha256"] == digest(content["record"]):
            return dict(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    LOG.warning("%s is damaged: its run will be made again", path)
    return None


def digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def writable(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures as JSON can hold them: nan and inf as texts."""
    return {n: repr(v) if isinstance(v, float) and not math.isfinite(v) else v for n, v in figures.items()}


def plain(figures: dict[str, Any]) -> dict[str, Any]:
    """The inverse of writable."""
    return {name: float(v) if v in ("nan", "inf", "-inf") else v for name, v in figures.items()}


def default_folder() -> Path:
    """Where runs are kept: MELTPOINT_STORE where it is set, else a folder of this user's cache."""
    if named := os.environ.get("MELTPOINT_STORE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meltpoint" / "runs"


def opened(store: Store | Path | str | bool | None) -> Store | None:
    """The store that an argument means: a folder, None or True for the default one, False for none."""
    if store is None or store is True:
        return Store(default_folder())
    if store is False or isinstance(store, Store):
        return store or None
    return Store(Path(store))
