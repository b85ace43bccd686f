"""The order of a measurement: the cells of a preset's grid, scouted once and then visited in shuffled blocks."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sim.profile.measure.presets import Preset


class Cell(NamedTuple):
    """One component at one size for one batch of requests."""

    component: str
    side: int
    frames: int
    batch: int


@dataclass(frozen=True)
class Options:
    """How to measure; sizes left None are the preset's."""

    device: str = "cuda"
    dtype: str | None = None
    variant: str = "eager"
    batches: tuple[int, ...] | None = None
    sides: tuple[int, ...] | None = None
    frames: tuple[int, ...] | None = None
    components: tuple[str, ...] | None = None
    loading: bool = False  # also write the weights to disk and time reading them back
    visits: int = 3  # blocks that every cell is visited in
    most_visits: int = 12
    seconds: float = 0.3  # of one visit, about
    budget: float = 480.0  # seconds for everything after the models are built
    settled: float = 0.02  # half the 95 % interval of the median over the median, at which a cell is done


def grid(preset: Preset, components: Sequence[str], options: Options) -> list[Cell]:
    """Every cell, each component's batches ascending. Text does not see the picture; a source picture has one frame."""
    sides, frames = options.sides or preset.sides, options.frames or preset.frames
    batches = options.batches or preset.batches
    cells = []
    for component in components:
        if options.components is not None and component not in options.components:
            continue
        own_sides = sides[:1] if component == "text" else sides
        own_frames = frames[:1] if component in ("text", "vae_encode", "prefill", "decode") else frames
        cells += [Cell(component, s, f, b) for s in own_sides for f in own_frames for b in sorted(set(batches))]
    return cells


def block(cells: Sequence[Cell], number: int) -> list[Cell]:
    """The cells in the fresh random order of one block; the same for everybody."""
    order = list(cells)
    random.Random(number).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


def anchors(cells: Sequence[Cell]) -> list[Cell]:
    """Workloads that may be measured beside every other, cheapest first: those of the main component."""
    main = [c for c in cells if c.component in ("denoise", "prefill")] or list(cells)
    return sorted(main, key=lambda c: (c.side * c.frames * c.batch, c.side, c.batch))
