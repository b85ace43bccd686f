"""The profile file while it is being measured: what is known of each cell, written whole after every block."""

import json
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import BadInput
from sim.profile.file import FORMAT, Ceiling, Check, HeldOut, Loading, ProfileFile, digest, laid_out
from sim.profile.measure.machine import Machine
from sim.profile.measure.plan import Cell, Options
from sim.profile.measure.presets import Preset
from sim.profile.measure.timing import Visit, median_interval
from sim.profile.profile import load_profile
from sim.writing import write_bytes

UNFINISHED = "unfinished: measuring was interrupted; go on with --resume"
SAME = ("model", "precision", "hardware", "guidance", "strength")

METHOD = (
    "Components timed apart on random inputs and weights: {clock}; the first call of each apart; then blocks of "
    "short visits in random order beside an anchor workload, until half the 95 % interval of the median is under "
    "{settled:.0%} or the time is over. A batch is put together as overhead + text + [vae_encode] + steps x denoise + "
    "vae_decode, with denoise run at guidance x batch. Variant: {variant}."
)


class Record:
    """A profile under way."""

    def __init__(self, document: dict[str, Any], out: Path):
        self.document, self.out = document, out
        self.cells = {cell_of(p): dict(p) for p in document.pop("points")}
        self.anchor_us: list[int] = list((document.get("anchor") or {}).get("visits_us", []))
        self.blocks = max((len(p.get("visits_us") or []) for p in self.cells.values()), default=0)

    @classmethod
    def start(cls, preset: Preset, options: Options, machine: Machine, dtype: str, out: Path, resume: bool) -> "Record":
        """A new record, or the one in `out` to go on with. Raises BadInput where that is of something else."""
        document = blank(preset, options, machine, dtype)
        if not resume:
            if out.exists():
                raise BadInput(
                    "this file is there already", file=out, expected="a new file, or --resume to go on with it"
                )
            return cls(document, out)
        load_profile(out)  # complete, and with its hash
        earlier = json.loads(out.read_text(encoding="utf-8"))
        fresh = json.loads(json.dumps(document))
        for key in SAME:
            mine, theirs = fresh[key], earlier.get(key)
            if key == "hardware":
                mine, theirs = mine["gpu"], theirs["gpu"]
            if mine != theirs:
                raise BadInput(
                    f"this file holds another measurement: its {key} differs", file=out, value=theirs, expected=mine
                )
        return cls(earlier, out)

    def known(self, cell: Cell) -> bool:
        return cell in self.cells

    def fits(self, cell: Cell) -> bool:
        return self.cells[cell]["status"] != "oom"

    def scouted(self, cell: Cell, first_s: float, memory_gib: float, teraflop: float) -> None:
        self.cells[cell] = {
            **cell._asdict(),
            "status": "ok",
            "visits_us": [],
            "host_us": [],
            "first_s": rounded(first_s),
            "teraflop": rounded(teraflop),
            **({"memory_gib": rounded(memory_gib)} if memory_gib > 0 else {}),
        }

    def out_of_memory(self, cell: Cell) -> None:
        self.cells[cell] = {**cell._asdict(), "status": "oom"}

    def visited(self, cell: Cell, visit: Visit) -> None:
        point = self.cells[cell]
        point["visits_us"] = [*point["visits_us"], visit.device_us]
        point["host_us"] = [*point["host_us"], visit.host_us]
        for name in ("power_w", "clock_mhz", "temperature_c"):
            value = getattr(visit, name)
            if value is not None:
                seen = point.setdefault(name, value)
                point[name] = rounded(seen + (value - seen) / len(point["visits_us"]))  # running mean
        if visit.throttled:
            point["throttled"] = sorted({*point.get("throttled", []), *visit.throttled})

    def anchored(self, cell: Cell, device_us: list[int]) -> None:
        self.anchor_us.append(round(statistics.median(device_us)))
        self.document["anchor"] = {
            "work": f"{cell.component} at side {cell.side}, frames {cell.frames}, batch {cell.batch}",
            "visits_us": self.anchor_us,
        }

    def wants(self, cell: Cell, options: Options) -> bool:
        """Whether a cell should be visited once more."""
        visits = self.cells[cell]["visits_us"]
        if len(visits) < options.visits:
            return True
        return len(visits) < options.most_visits and not self.settled(cell, options)

    def settled(self, cell: Cell, options: Options) -> bool:
        """Whether both the samples and, since a machine drifts, the visits agree on the median."""
        visits = self.cells[cell]["visits_us"]
        samples = np.array([s for visit in visits for s in visit], dtype=float)
        if len(visits) < 2 or median_interval(samples) > options.settled:
            return False
        between = float(np.std(np.log([np.median(visit) for visit in visits]), ddof=1))
        return 1.96 * between / len(visits) ** 0.5 <= options.settled

    def settle(self, options: Options) -> None:
        """Say which points never came to rest, and leave out those that were not visited at all."""
        self.cells = {c: p for c, p in self.cells.items() if p["status"] == "oom" or p["visits_us"]}
        for cell, point in self.cells.items():
            if point["status"] != "oom":
                point["status"] = "ok" if self.settled(cell, options) else "unsettled"

    def loaded(self, seconds: float, parameters: dict[str, int], architecture: dict[str, Any]) -> None:
        self.document["load_s"] = [*self.document.get("load_s", []), rounded(seconds)]
        self.document["parameters"], self.document["architecture"] = parameters, architecture

    def found(self, **facts: Ceiling | Loading | None) -> None:
        """Note facts about the machine or the model under their field's name; None: not known here."""
        self.document.update({name: fact.model_dump() for name, fact in facts.items() if fact is not None})

    def idle(self, watts: float | None) -> None:
        if watts is not None:
            hardware = {"idle_power_w": rounded(watts), "idle_power_source": "measured with the model loaded"}
            self.document["hardware"] = {**self.document["hardware"], **hardware}

    def checked(self, check: Check) -> None:
        """Add an end-to-end check; the host's overhead is what the one at batch 1 takes beyond its components."""
        checks = self.document.setdefault("checks", [])
        checks.append({k: rounded(v) if isinstance(v, float) else v for k, v in check.model_dump().items()})
        if check.batch == 1 and len(checks) == 1:
            self.document["overhead_s"] = rounded(max(0.0, check.measured_s - check.predicted_s))

    def finish(self, marks: list[str], errors: dict[Any, HeldOut]) -> None:
        self.document["marks"] = marks
        self.document["held_out"] = {kind: error.model_dump() for kind, error in errors.items()}

    def content(self) -> dict[str, Any]:
        points = [p for p in self.cells.values() if p["status"] == "oom" or p["visits_us"]]
        document = {k: v for k, v in self.document.items() if k != "sha256"}
        content: dict[str, Any] = json.loads(json.dumps({**document, "points": points}))
        return content

    def file(self) -> ProfileFile:
        return ProfileFile.model_validate(self.content())

    def write(self) -> ProfileFile:
        """Put the file in place whole; a killed run leaves the one before. Raises BadInput on a full disk."""
        document = self.content()
        self.out.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_bytes(laid_out(document).encode(), self.out)
        except OSError as wrong:
            raise BadInput(f"the profile cannot be written ({wrong.strerror})", file=self.out) from None
        return ProfileFile.model_validate({**document, "sha256": digest(document)})


def blank(preset: Preset, options: Options, machine: Machine, dtype: str) -> dict[str, Any]:
    """A profile before anything is measured."""
    clock = "CUDA events around each call" if machine.gpu else "the host's clock around each call"
    limit = machine.power_limit()
    return {
        "format": FORMAT,
        "name": preset.name,
        "model": preset.model,
        "feature": preset.feature,
        "provenance": "measured",
        "source": "meltpoint profile measure " + preset.name,
        "method": METHOD.format(clock=clock, settled=options.settled, variant=options.variant),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "precision": dtype,
        "hardware": {
            "gpu": machine.name(),
            "count": 1,
            "memory_gib": rounded(machine.total_memory() / 2**30),
            **({} if limit is None else {"power_limit_w": rounded(limit)}),
        },
        "environment": machine.environment(),
        "guidance": preset.guidance,
        "strength": preset.strength,
        "marks": [UNFINISHED],
        "points": [],
    }


def cell_of(point: dict[str, Any]) -> Cell:
    return Cell(point["component"], point["side"], point["frames"], point["batch"])


def rounded(value: float) -> float:
    """Five digits: all that is known, and a small file."""
    return float(f"{value:.5g}")
