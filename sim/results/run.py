"""Run: one simulation as tables with a manifest beside them; built from the engine, saved and loaded as a folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from sim.demand.sources import seconds_after
from sim.results.folder import TABLES, Saved, read_run, write_run
from sim.results.log import Log
from sim.results.log_tables import (
    batch_table,
    decision_table,
    fleet_table,
    in_gpus,
    killed_table,
    request_table,
    user_table,
)
from sim.results.manifest import manifest_of
from sim.results.timeline import Timeline
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario


@dataclass(frozen=True, repr=False)
class Run:
    """The result of one simulation. Times are seconds after the scenario's start; nan is never.

    A large run may keep the rows of some users, or none (manifest: recording); its timeline still counts everybody.

    requests: one row per attempt: user, ask, attempt, tier, feature, pool, arrived, started, dequeued (to a GPU, or
        dropped, or taken out), finished, left, outcome,
        reason, asked, spec, level, batch, gpu_seconds (its share of the batch), retry (the user will try again),
        notified (told to come back for it), first (the row of the first attempt at the same wish); where some pool
        runs steps, first_token (when it was made) and tokens (that the request makes; steps, of an image).
    batches: batch, pool, gpu, spec, started, finished, size (images), seconds (of the whole batch), loading (of these,
        at its start, on a model), watts.
    users: user, tier, wave, region, newcomer, invited_by (a user), arrives, admitted, left (gave up on the waitlist, or
        churned).
    decisions: time, knob, tier, feature, old, new, policy, reason (why a trigger began or ended a step: knob 'step', 1
        in force, 0 not; None for other knobs).
    fleet: time, pool, change: by how many GPUs more, or fewer, are in service of the pool from then on; and by how many
        more, or fewer, are failed, moving (to another pool), switched_off (of the scenario's own), ordered.
    killed: request, batch (rows of these tables), gpu_seconds: what a GPU was working on when its work was lost. That
        batch is not the request's `batch`, which is the one that it got later, if any.
    timeline: everything counted; None where the engine leaves that to the tables ('simpy').
    manifest: scenario, playbook, seed, engine, versions and the figures needed to read the tables.
    """

    requests: pd.DataFrame
    batches: pd.DataFrame
    users: pd.DataFrame
    decisions: pd.DataFrame
    fleet: pd.DataFrame
    manifest: dict[str, Any]
    timeline: Timeline | None = None
    killed: pd.DataFrame = field(default_factory=lambda: killed_table({}, None, None))
    sums: dict[bytes, Timeline] = field(default_factory=dict, init=False, compare=False)  # of `metrics.counted`
    found: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, compare=False)  # by `once`

    def __getstate__(self) -> dict[str, Any]:
        """What another process or a file gets: what was found from the tables is found again where it is asked for."""
        return {**self.__dict__, "sums": {}, "found": {}}

    def once(self, name: str, find: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table found from these at the first call, and kept: a verdict and its report ask for some five times."""
        if name not in self.found:
            self.found[name] = find()
        return self.found[name]

    @property
    def has_rows(self) -> bool:
        """Whether the tables hold every row."""
        return bool(self.manifest["recording"]["rows"])

    @property
    def horizon(self) -> float:
        return float(self.manifest["horizon"])

    @property
    def scale(self) -> float:
        """The simulated slice of the service; divide counts by it for the whole."""
        return float(self.manifest["scale"])

    @property
    def steps(self) -> list[dict[str, Any]] | None:
        """The steps in force, as the scenario writes them; None for a playbook that is not in it."""
        document, name = self.manifest["scenario"], self.manifest["playbook"]
        playbook = (document.get("playbooks") or {}).get(name)
        always = list(document.get("always") or [])
        return None if playbook is None and name != "none" else [*always, *(playbook or [])]

    @property
    def start(self) -> datetime:
        return datetime.fromisoformat(self.manifest["start"])

    def seconds(self, instant: float | datetime) -> float:
        """Seconds from the start of the run to an instant (negative before it)."""
        return seconds_after(self.start, instant)

    def date(self, seconds: float) -> str:
        """An instant as a date and time (UTC)."""
        return (self.start + timedelta(seconds=seconds)).strftime("%a %d %b %Y %H:%M")

    def __repr__(self) -> str:
        rows = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in TABLES if len(getattr(self, name)))
        m = self.manifest
        return f"<Run of {m['title']!r}: playbook {m['playbook']!r}, seed {m['seed']}, {rows or 'no rows'}>"

    def save(self, folder: Path) -> Path:
        """Write the run into a new folder, all of it or nothing. Raises BadInput if the folder is there already."""
        write_run(Saved({name: getattr(self, name) for name in TABLES}, self.manifest, self.timeline), Path(folder))
        return Path(folder)


def load_run(folder: Path) -> Run:
    """A run saved before. Raises BadInput if the folder holds none, one of another format, or a damaged one."""
    saved = read_run(Path(folder))
    return Run(**saved.tables, manifest=saved.manifest, timeline=saved.timeline)


def run_from(
    scenario: Scenario,
    log: Log,
    decisions: list[dict[str, Any]],
    fleets: list[dict[str, Any]],
    *,
    playbook: str,
    seed: int,
    engine: str,
    unlimited: bool,
    recording: Recording,
    wall_seconds: float,
) -> Run:
    """The tables of a run that has reached its horizon."""
    log = in_gpus(scenario, log)
    batches, places = batch_table(scenario, log.batches)
    manifest = manifest_of(scenario, log.gpus, playbook, seed, engine, wall_seconds, recording, unlimited=unlimited)
    requests, request_places = request_table(scenario, log.requests, places)
    return Run(
        requests=requests,
        batches=batches,
        users=user_table(scenario, log.people),
        decisions=decision_table(decisions),
        fleet=fleet_table(fleets),
        manifest=manifest,
        timeline=log.timeline,
        killed=killed_table(log.killed, request_places, places),
    )
