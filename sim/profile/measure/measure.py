"""Measure one preset: scout every cell, visit them in shuffled blocks beside an anchor, verify, judge, write."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from sim.errors import BadInput
from sim.model.request import Spec
from sim.profile.file import Check, ProfileFile
from sim.profile.measure.ceiling import ceiling_of
from sim.profile.measure.gates import check_parameters, marks
from sim.profile.measure.loading import loading_of
from sim.profile.measure.machine import Machine
from sim.profile.measure.models import Model, build, flops
from sim.profile.measure.plan import Cell, Options, anchors, block, grid
from sim.profile.measure.presets import Preset
from sim.profile.measure.record import Record
from sim.profile.measure.timing import Visit, visit
from sim.profile.service_time import ComponentTimes, held_out, surfaces_of

GIB = 2.0**30
DEVICE_BOUND = 0.7  # of a call's time on the GPU, the most that launching it may take for the GPU to be what bounds it
FOR_BLOCKS = 0.75  # of the time budget, where whole pipelines are verified after the blocks
VERIFIED = ((0, 0), (0, -1), (-1, 0))  # (side, batch) of the pipelines run end to end, as places in the grid

Say = Callable[[str], None]
Progress = Callable[[float], None]


@dataclass
class Session:
    """One measurement under way."""

    preset: Preset
    options: Options
    machine: Machine
    model: Model
    record: Record
    cells: list[Cell] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def late(self, share: float = 1.0) -> bool:
        """Whether this share of the time budget is spent."""
        return time.perf_counter() - self.began > share * self.options.budget

    @property
    def verifies(self) -> bool:
        """Whether whole pipelines are run after the components."""
        return self.options.components is None and self.preset.feature != "chat"

    def call(self, cell: Cell) -> Callable[[], object]:
        """The workload of a cell, its inputs made afresh: kept, a hundred of them would fill the memory."""
        return self.model.work(cell.component, cell.batch, cell.side, cell.frames)


def measure(
    preset: Preset, options: Options, out: Path, *, resume: bool = False, say: Say, progress: Progress
) -> ProfileFile:
    """Profile a preset and write the file after every block; returns what was written last.

    resume: go on with what `out` holds. Raises BadInput where nothing can be measured: no such device, out of memory
    at the smallest batch, output that is not a number, a file that belongs to another measurement.
    """
    machine = Machine(options.device)
    dtype = options.dtype or preset.dtype
    record = Record.start(preset, options, machine, dtype, out, resume)
    say(f"building {preset.model} ({dtype}, {options.variant}) on {machine.name()}")
    record.found(ceiling=ceiling_of(machine, dtype))
    began = time.perf_counter()
    model = build(preset, device=options.device, dtype=dtype, variant=options.variant)
    machine.synchronize()
    record.loaded(time.perf_counter() - began, model.parameters, model.config)
    check_parameters(model.parameters, preset.parameters, preset.name)
    session = Session(preset, options, machine, model, record)
    session.cells = grid(preset, model.components, options)
    if not session.cells:
        raise BadInput("nothing is left to measure", key="--component", expected=", ".join(model.components))
    record.idle(machine.idle_power())
    if options.loading:
        record.found(loading=loading_of(model, machine))
    scout(session, say, progress)
    visit_blocks(session, say, progress)
    if session.verifies:
        verify(session, say)
    return conclude(session, dtype, say)


def scout(session: Session, say: Say, progress: Progress) -> None:
    """One first call of every cell, larger batches after smaller: cold time, memory, whether it fits and is finite."""
    too_large: dict[tuple[str, int, int], int] = {}
    for number, cell in enumerate(session.cells):
        progress(0.1 * number / len(session.cells))
        if session.record.known(cell):
            continue
        place = cell[:3]
        if place in too_large:
            session.record.out_of_memory(cell)
        elif not first_call(session, cell):
            if cell.batch == min(c.batch for c in session.cells if c[:3] == place):
                raise BadInput(
                    "out of memory at the smallest batch: this model does not fit this device at this size",
                    key=f"{cell.component} at side {cell.side}, batch {cell.batch}",
                    expected=f"less than {session.machine.total_memory() / GIB:.0f} GiB; try --sides with smaller ones",
                )
            too_large[place] = cell.batch
            say(f"{cell.component} at {cell.side}: batch {cell.batch} does not fit; larger ones are not tried")


def first_call(session: Session, cell: Cell) -> bool:
    """The first call of a cell; False where it ran out of memory."""
    machine = session.machine
    machine.empty_cache()
    machine.forget_peak()
    try:
        began = time.perf_counter()
        with torch.inference_mode():
            output = session.call(cell)()
        machine.synchronize()
        taken = time.perf_counter() - began
    except (torch.OutOfMemoryError, MemoryError):
        session.record.out_of_memory(cell)
        return False
    if isinstance(output, torch.Tensor) and not bool(torch.isfinite(output).all()):
        raise BadInput(
            "the output is not finite, so its time means nothing",
            key=f"{cell.component} at side {cell.side}, batch {cell.batch}",
            expected="finite numbers; try another --dtype",
        )
    teraflop = flops(session.preset, cell.component, cell.batch, cell.side, cell.frames) / 1e12
    session.record.scouted(cell, taken, machine.peak_memory() / GIB, teraflop)
    return True


def visit_blocks(session: Session, say: Say, progress: Progress) -> None:
    """Blocks of visits in fresh random order, each visit beside one of the anchor, until settled or out of time."""
    options, record = session.options, session.record
    anchor = anchor_of(session)
    number, share = record.blocks, FOR_BLOCKS if session.verifies else 1.0
    while True:
        todo = [c for c in session.cells if record.fits(c) and record.wants(c, options)]
        if not todo:
            return
        if session.late(share):
            say(f"{share:.0%} of the {options.budget:.0f} s are spent: {len(todo)} points are not settled")
            return
        for place, cell in enumerate(block(todo, number)):
            settled = 1 - (len(todo) - place / options.most_visits) / len(session.cells)
            progress(0.1 + 0.85 * max(settled, min(1.0, (number + place / len(todo)) / options.most_visits)))
            record.anchored(anchor, stay(session, anchor, 0.1).device_us)
            record.visited(cell, stay(session, cell, options.seconds))
            if session.late(share) and number >= 1:
                break
        number += 1
        record.blocks = number
        record.write()


def anchor_of(session: Session) -> Cell:
    """The cheapest workload of the main component that keeps the GPU, not the host that launches it, busy.

    What the host bounds moves with the host, and would not show a card that drifts.
    """
    record = session.record
    fitting = [cell for cell in anchors(session.cells) if record.fits(cell)]
    for cell in fitting if session.machine.gpu else []:
        tried = stay(session, cell, 0.05)
        if tried.host_us < DEVICE_BOUND * statistics.median(tried.device_us):
            return cell
    return fitting[0]


def stay(session: Session, cell: Cell, seconds: float) -> Visit:
    """One visit to a cell."""
    with torch.inference_mode():
        return visit(session.machine, session.call(cell), seconds=seconds, least=3, most=60)


def verify(session: Session, say: Say) -> None:
    """Whole pipelines end to end beside the sum of their components; what is left over at batch 1 is host overhead."""
    options, preset = session.options, session.preset
    sides = sorted({c.side for c in session.cells if c.component == "denoise"})
    batches = sorted({c.batch for c in session.cells if session.record.fits(c) and c.component == "denoise"})
    frames = min(c.frames for c in session.cells if c.component == "denoise")
    wanted = list(dict.fromkeys((sides[s], batches[b]) for s, b in VERIFIED))
    times = ComponentTimes(surfaces_of(session.record.file()), 0.0, preset.strength)
    for side, batch in wanted:
        spec = Spec(preset.name, side, preset.steps, frames)
        predicted = times.seconds(spec, batch)
        if np.isnan(predicted) or session.late() or predicted * 3 > options.budget / 4:
            say(f"end to end at {side} px, batch {batch}: not verified, it would take too long")
            continue
        with torch.inference_mode():
            call = session.model.pipeline(batch, side, frames, preset.steps)
            found = visit(session.machine, call, seconds=0.5, least=2, most=10)
        measured = statistics.median(found.device_us) * 1e-6
        say(f"end to end at {side} px, batch {batch}: {measured:.4g} s measured, {predicted:.4g} s from components")
        session.record.checked(
            Check(side=side, steps=preset.steps, frames=frames, batch=batch, measured_s=measured, predicted_s=predicted)
        )


def conclude(session: Session, dtype: str, say: Say) -> ProfileFile:
    """Judge the points, add what the file says about itself, and write it for good."""
    record, machine = session.record, session.machine
    record.settle(session.options)
    if not record.cells:
        raise BadInput(
            "the time was over before a single point was timed",
            key="--budget",
            value=session.options.budget,
            expected="more seconds: first calls, which compile and allocate, took all of them",
        )
    file = record.file()
    limit = file.hardware.power_limit_w or math.inf
    found = marks(file.points, file.anchor, machine.name(), dtype, on_gpu=machine.gpu, power_limit=limit)
    for mark in found:
        say(f"MARKED: {mark}")
    record.finish(found, held_out(file))
    return record.write()
