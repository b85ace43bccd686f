"""Begin from now: a scenario that starts at a given instant, with the queue, people and GPUs of that instant."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from sim.demand.laws import Law
from sim.errors import BadInput
from sim.model.chance import EXPONENTIAL, NEVER, WEIBULL, quantile
from sim.scenario.document import explained, refuse_unusable
from sim.scenario.load import in_file, parse
from sim.scenario.scenario import Scenario
from sim.schema import Strict
from sim.units import Count, Instant, Plain, Seconds, Whole

PIECES = 20  # of the law of pauses, when people who are between two requests ask again


class Waiting(Strict):
    """Requests of one feature and tier that are in the service."""

    feature: str
    tier: str = Field(default="", description="drawn by the tiers' shares if empty")
    queued: Annotated[Count, Field(ge=0)] = Field(default=0.0, description="waiting for a GPU")
    waited: tuple[Seconds, Seconds] = Field(default=(0.0, 0.0), description="the shortest and the longest wait so far")
    in_service: Annotated[Count, Field(ge=0)] = Field(default=0.0, description="on a GPU")


class OnOrder(Strict):
    """GPUs that come later."""

    gpus: Annotated[Whole, Field(ge=1)]
    at: Instant


class Fleet(Strict):
    """The GPUs of a pool at that instant."""

    gpus: Annotated[Whole, Field(ge=1)] = Field(description="in service")
    on_order: list[OnOrder] = []


class State(Strict):
    """What a service is doing at one instant; figures are of the whole service, and not of a slice."""

    at: Instant = Field(default=0.0, description="the instant; the scenario's start if absent")
    requests: list[Waiting] = []
    thinking: dict[str, Annotated[Count, Field(ge=0)]] = Field(
        default={}, description="people who pause between two requests, by tier; they ask again as behaviour.think says"
    )
    pools: dict[str, Fleet] = Field(default={}, description="fleets; as the scenario says where absent")
    rate: Annotated[Plain, Field(ge=0)] | None = Field(
        default=None, description="multiplies all demand from now on, where it is not as the scenario says"
    )
    notes: list[str] = Field(default=[], description="what was assumed where the state was measured")


def read_state(path: Path) -> State:
    """A state from a YAML file. Raises BadInput."""
    document = parse(path)
    try:
        return State.model_validate(document)
    except ValidationError as wrong:
        raise in_file(explained(wrong, document, State), path) from None


def begun(scenario: Scenario, state: State) -> Scenario:
    """The rest of a scenario from an instant on, beginning with this state.

    Its waves and the dates of its playbooks stay where they are in time, and people who would come later are the same
    people. People of before are there only as far as the state says so. Raises BadInput for an instant outside the
    scenario and for names that it does not have.
    """
    passed = scenario.seconds(state.at)
    if not 0 <= passed < scenario.horizon:
        ends = scenario.start + timedelta(seconds=scenario.horizon)
        expected = f"from {scenario.start.isoformat()} to before {ends.isoformat()}, or another start or horizon"
        raise BadInput("this instant is not within the scenario", key="at", value=str(state.at), expected=expected)
    check_names(scenario, state)
    document = scenario.document
    shift(document, scenario)
    document |= {
        "start": (scenario.start + timedelta(seconds=passed)).isoformat(),
        "horizon": f"{scenario.horizon - passed!r} s",
        "warm_up": f"{max(scenario.warm_up - passed, 0.0)!r} s",
    }
    demand = document["demand"]
    if state.rate is not None:
        for wave in demand.get("waves", []):
            wave["times"] = wave.get("times", 1.0) * state.rate
    now = document["start"]
    demand["waves"] = [*demand.get("waves", []), *standing_waves(state, now), *thinking_waves(scenario, state, now)]
    for name, fleet in state.pools.items():
        document["pools"][name]["gpus"] = fleet.gpus
        total, orders = fleet.gpus, sorted(fleet.on_order, key=lambda order: scenario.seconds(order.at))
        for order in orders:
            total += order.gpus
            policy = {"kind": "scheduled capacity", "pool": name, "gpus": total}
            step = {"policy": policy, "from": dated(scenario, order.at)}
            document["always"] = [*document.get("always", []), step]
    refuse_unusable(document)
    return scenario.of_document(document)


def check_names(scenario: Scenario, state: State) -> None:
    """Raise BadInput for a feature, tier or pool that the scenario does not have."""
    named: list[tuple[str, str, Any]] = [("feature", one.feature, scenario.features) for one in state.requests]
    named += [("tier", one.tier, scenario.tiers) for one in state.requests if one.tier]
    named += [("tier", tier, scenario.tiers) for tier in state.thinking]
    named += [("pool", pool, scenario.pools) for pool in state.pools]
    for what, name, known in named:
        if name not in known:
            raise BadInput(f"the scenario has no such {what}", key=what, value=name, expected=", ".join(known))
    for one in state.requests:
        if one.waited[0] > one.waited[1] or math.isinf(one.waited[1]):
            expected = "the shortest wait, then the longest, like [0 s, 90 s]"
            raise BadInput("these are no two waits", key="waited", value=list(one.waited), expected=expected)


def dated(scenario: Scenario, at: Any) -> str:
    """An instant of the scenario as a date, which does not move when its start does."""
    seconds = scenario.seconds(at)
    return "never" if math.isinf(seconds) else (scenario.start + timedelta(seconds=seconds)).isoformat()


def shift(document: dict[str, Any], scenario: Scenario) -> None:
    """Write every instant of a scenario's document as a date."""
    demand = scenario.demand
    for kind, sources in (("waves", demand.waves), ("clients", demand.clients), ("traces", demand.traces)):
        for written, source in zip(document["demand"].get(kind, []), sources, strict=True):
            written["from"] = dated(scenario, source.from_)
    for name, opening in demand.openings.items():
        document["demand"]["openings"][name]["at"] = dated(scenario, opening.at)
    lists = [(document.get("always", []), scenario.always)]
    lists += [(document["playbooks"][name], steps) for name, steps in scenario.playbooks.items() if steps]
    for written, steps in lists:
        for one, step in zip(written, steps, strict=True):
            one["from"] = dated(scenario, step.from_)
            if not math.isinf(scenario.seconds(step.until)):
                one["until"] = dated(scenario, step.until)


def standing_waves(state: State, now: str) -> list[dict[str, Any]]:
    """The requests that are there: those in service have come no later than any that waits."""
    oldest = max((one.waited[1] for one in state.requests if one.queued), default=0.0)
    waves: list[dict[str, Any]] = []
    for one, on_gpu in [(one, True) for one in state.requests] + [(one, False) for one in state.requests]:
        least, most = (oldest, oldest) if on_gpu else one.waited
        wave: dict[str, Any] = {
            "kind": "standing",
            "name": f"{'in service' if on_gpu else 'queued'} {len(waves) + 1}",
            "from": now,
            "feature": one.feature,
            "tiers": [one.tier] if one.tier else [],
            "requests": one.in_service if on_gpu else one.queued,
            "least": f"{least!r} s",
            "most": f"{most!r} s",
            "in_service": on_gpu,
        }
        if wave["requests"] > 0:
            waves.append(wave)
    return waves


def thinking_waves(scenario: Scenario, state: State, now: str) -> list[dict[str, Any]]:
    """People between two requests: of n with pauses of survival S and mean m, n S(t) / m ask in a second at time t."""
    law = scenario.behaviour.think.law
    waves = []
    for tier, people in state.thinking.items():
        if people <= 0 or law.kind == NEVER:
            continue
        times, left = survival(law)
        total = float(np.sum(np.diff(times) * (left[1:] + left[:-1]) / 2))
        rates = people * left / total
        points = [[f"{t!r} s", f"{rate!r} per s"] for t, rate in zip(times.tolist(), rates.tolist(), strict=True)]
        wave = {"kind": "piecewise", "from": now, "name": f"thinking: {tier}", "tiers": [tier], "points": points}
        waves.append({**wave, "account_age": "365 days"})
    return waves


def survival(law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Times, and the share of pauses that are longer: ascending, from 0 s and 1 to 0."""
    over = (np.arange(PIECES) + 0.5) / PIECES  # shares that are longer
    above = law.kind in (EXPONENTIAL, WEIBULL)  # whose quantile is of the share above it
    found = sorted(max(float(quantile.direct(*law, u if above else 1.0 - u)), 0.0) for u in over)
    times = np.concatenate([[0.0], np.maximum(np.array(found), 1e-3 * np.arange(1, PIECES + 1))])
    times = np.append(times, times[-1] + max(times[-1] - times[-2], 1e-3))
    return times, np.concatenate([[1.0], 1.0 - (np.arange(PIECES) + 0.5) / PIECES, [0.0]])
