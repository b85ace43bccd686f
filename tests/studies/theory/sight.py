"""What the theory study can see: small faults put into its scenarios, and how many of its rows then miss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.profile.profile import Profile, profile_from
from sim.scenario.scenario import Scenario
from sim.validation.study import MISSES, NOT_HELD, Row, Study
from tests.studies.theory.catalogue import built
from tests.studies.theory.study import RUNS, cases, name_of, row_of, seeds_of, why_not

Change = Callable[[Scenario], Scenario]


@dataclass(frozen=True)
class Fault:
    """A fault in words, how it is put into a scenario, and the systems that should show it."""

    words: str
    change: Change
    systems: tuple[str, ...]


def slower(share: float) -> Change:
    """Every service time longer by a share."""

    def change(scenario: Scenario) -> Scenario:
        profiles = {name: stretched(profile, 1 + share) for name, profile in scenario.used_profiles.items()}
        return Scenario.from_dict(scenario.document, profiles=profiles)

    return change


def stretched(profile: Profile, times: float) -> Profile:
    document = profile.file.model_dump(mode="json", by_alias=True, exclude_none=True)
    for point in document["points"]:
        point["latency_s"] = {name: value * times for name, value in point["latency_s"].items()}
    return profile_from(document)


def scaled(key: str, times: float) -> Change:
    """A time of the scenario, named by a dotted key, longer by a factor."""

    def change(scenario: Scenario) -> Scenario:
        found: Any = scenario.document
        for part in key.split("."):
            found = found[int(part)] if part.isdigit() else found[part]
        return scenario.with_(**{key: f"{float(str(found).removesuffix(' s')) * times} s"})

    return change


def one_more(scenario: Scenario) -> Scenario:
    """The bound of the queue one place longer."""
    found = scenario.document["always"][0]["policy"]["requests"]
    return scenario.with_(**{"always.0.policy.requests": found + 1})


FAULTS = (
    Fault("service times 1 % longer", slower(0.01), ("M/M/c", "M/M/c/c (=M/G/c/c)", "M/D/1", "Little")),
    Fault("patience 3 % longer", scaled("behaviour.patience.mean", 1.03), ("M/M/c+M (Erlang-A)",)),
    Fault("a queue one place longer", one_more, ("M/M/c/K",)),
    Fault("backoff 10 % longer", scaled("behaviour.retry.backoff.mean", 1.1), ("M/M/1 linear retrial",)),
    Fault("linger halved", scaled("pools.gpus.linger", 0.5), ("linger of an idle GPU",)),
)


def sight_study(progress: Progress | None = None) -> Study:
    """Each fault must make at least one row of the theory study miss."""
    rows = in_parallel(row_of_fault, None, [(number,) for number in range(len(FAULTS))], progress=progress)
    return Study(
        "sight",
        "What the theory study can see",
        "Do rows miss where the simulator is a little wrong?",
        "the theory study, with a fault put into its scenarios",
        rows,
        [f"Each case with {RUNS} runs; a fault is seen if at least one row misses. Seeds are those of the study."],
    )


def row_of_fault(_: None, number: int, report: Progress) -> Row:
    """How many rows miss under a fault, of those that are held to a bound."""
    fault = FAULTS[number]
    wanted = [case for case in cases() if case.system in fault.systems and why_not(case) == ""]
    seen, systems, held = 0, set(), 0
    for done, case in enumerate(wanted):
        for row in faulty_rows(case.system, case.params, case.metrics, fault.change, seeds_of(name_of(case))):
            held += row.fits != NOT_HELD
            seen += row.fits == MISSES
            systems |= {case.system} if row.fits == MISSES else set()
        report((done + 1) / len(wanted))
    note = f"of {held} rows; seen by {', '.join(sorted(systems)) or 'none'}"
    return Row(fault.words, "rows that miss", "", float(held), float(seen), 1.0, float(held), note)


def faulty_rows(
    system: str, params: Mapping[str, Any], metrics: Mapping[str, float], change: Change, seed: int
) -> list[Row]:
    model = built(system, params, metrics, "compiled")
    scenario = change(model.scenario)
    runs = [simulate(scenario, seed=seed + number) for number in range(RUNS)]
    measures = [model.measures[metric] for metric in metrics]
    return [row_of("", measure, np.array([measure.of(run) for run in runs])).row for measure in measures]
