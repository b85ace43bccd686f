"""What a setting gives, first from a small slice of the service and then from a larger one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.explorer.settings import Chosen
from sim.explorer.shown import FIGURES, text_of
from sim.results.cohort import cohort
from sim.results.metrics import pool_timeline, timeline
from sim.results.run import Run
from sim.results.verdict import run_in_bins
from sim.scenario.scenario import Scenario
from sim.scenario.slices import FEW_GPUS, divisors
from sim.studies.estimate import simple_counts
from sim.studies.figures import figures
from sim.studies.fleets import served_pools
from sim.wording import amount, duration, in_gpus, names_in_words, percent

SEED = 1  # the same on both sides, so that they meet the same people
FIRST, REFINED, OWN = range(3)  # stages: at once; of ten GPUs or more; and with the ticks of the scenario itself
ATTEMPTS = (40_000, 300_000, 300_000)  # that a slice aims at, before retries: a fraction of a second, about a second
TICKS = (120, 3000, math.inf)  # of policies that look at every tick
MOST_ATTEMPTS = 3_000_000  # before retries: what takes longer than a person waits is refused


@dataclass(frozen=True)
class Answer:
    """One run of one setting, of a slice of the service, as a page shows it."""

    run: Run
    scenario: Scenario  # as it was run
    stage: int
    tick: float  # seconds between looks of the policies in the scenario itself

    @cached_property
    def figures(self) -> dict[str, float]:
        """Figures of the whole service by name, as in a comparison."""
        return figures(self.binned)

    @cached_property
    def binned(self) -> Run:
        """The run with only the bins that its figures are made of, added up once."""
        return run_in_bins(self.run)

    @property
    def rows(self) -> list[tuple[str, float, str]]:
        """Title, number and text of each figure."""
        values = {column: float(self.figures[column]) for column in FIGURES}
        return [(title, values[column], text_of(column, values[column])) for column, title in FIGURES.items()]

    @property
    def sentence(self) -> str:
        f = self.figures
        life = "ALIVE" if f["alive"] else "NOT ALIVE"
        if math.isnan(f["attainment"]) and f["unfinished"]:
            return "NOTHING WAS DECIDED: every request is still inside when the run ends."
        if math.isnan(f["attainment"]):
            return "NOBODY CAME: nothing was requested."
        return f"{life}: {percent(f['attainment'])} of all requests get an image in time."

    @property
    def slice_in_words(self) -> str:
        """The slice that was run, and its bias."""
        s = self.scenario
        if s.scale == 1:
            parts = "The whole service was simulated"
        else:
            of = [f"{s.gpus(p):,} of {in_gpus(amount(s.pools[p].gpus))}" for p in served_pools(s)]
            parts = f"A slice of 1/{1 / s.scale:g}: {names_in_words(of)}"
        few = s.scale < 1 and min(s.replicas(p) for p in served_pools(s)) < FEW_GPUS
        bias = "; with fewer than ten GPUs requests wait noticeably longer, so this is pessimistic" if few else ""
        if s.scale < 1 and not few:
            bias = "; in a slice requests wait a little longer than in the whole service"
        looks = f"; policies look every {duration(s.control_tick)} instead of every {duration(self.tick)}"
        return parts + bias + (looks if s.control_tick > self.tick else "") + "."

    @cached_property
    def cohort(self) -> dict[str, float]:
        """What became of the requests, at full scale."""
        return cohort(self.binned)

    @cached_property
    def over_time(self) -> dict[str, NDArray[np.float64]]:
        """By bin: time (ms since 1970), requests wanted and served a second, and queues, at full scale."""
        run = self.run
        table = timeline(run)
        seconds = np.diff(np.append(table.index.to_numpy(float), run.horizon)) * run.scale
        queues = [pool_timeline(run, pool)["queued"].to_numpy(float) for pool in run.manifest["pools"]]
        start = self.scenario.start.timestamp()
        return {
            "time": 1000 * (start + table.index.to_numpy(float)),
            "wanted": table["intents"].to_numpy(float) / seconds,
            "served": table["served"].to_numpy(float) / seconds,
            "queue": np.sum(queues, axis=0) / run.scale,
        }


def answer(scenario: Scenario, side: Chosen, stage: int, go_on: Callable[[], None]) -> Answer | None:
    """The run of a setting. go_on: called now and then, and may raise to end the run. Raises BadInput.

    None for the last stage where the one before it had the ticks of the scenario already.
    """
    asked = side.applied(scenario)
    if stage == OWN and sliced_for(asked, side.playbook, REFINED).control_tick == asked.control_tick:
        return None
    sliced = sliced_for(asked, side.playbook, stage)
    run = simulate(sliced, side.playbook, seed=SEED, progress=lambda _: go_on())
    found = Answer(run, sliced, stage, asked.control_tick)
    _ = found.rows, found.cohort, found.over_time  # made here rather than while the page is drawn
    return found


def sliced_for(scenario: Scenario, playbook: str, stage: int) -> Scenario:
    """The slice of a stage: few enough attempts to be quick; the refined one has ten GPUs or more where it can."""
    full = simple_counts(scenario)[1] / scenario.scale
    smallest = min(scenario.pools[pool].replicas for pool in served_pools(scenario))
    largest_cut = max(smallest // (FEW_GPUS if stage != FIRST else 1), 1)
    wanted = min(max(full / ATTEMPTS[stage], 1.0), largest_cut)
    tick = scenario.control_tick
    if not steady(scenario, playbook):
        tick = max(tick, scenario.horizon / TICKS[stage])
    common = math.gcd(*(pool.replicas for pool in scenario.pools.values()))
    cuts = [n for n in divisors(common) if n <= largest_cut]
    for cut in sorted(cuts, key=lambda n: abs(math.log(n / wanted))):
        if full / cut > MOST_ATTEMPTS:
            continue
        try:
            return scenario.with_(scale=f"1/{cut}", record="timeline", control_tick=f"{tick:g} s")
        except BadInput:  # what its policies count does not divide by that
            continue
    least = max(1, math.ceil(full / MOST_ATTEMPTS))
    expected = (
        f"GPUs that are a multiple of a round number above {least:,}, like {1000 * max(1, round(smallest / 1000)):,}"
    )
    raise BadInput("no slice of this is small enough to be run while you wait", key="gpus", expected=expected)


def steady(scenario: Scenario, playbook: str) -> bool:
    """Whether all policies set the same at every tick, so that none of them needs to be played."""
    return all(step.when is None and step.policy.steady for step in scenario.in_force(playbook))
