"""Small faults that are put into the scenarios of a study, to find out whether its rows miss then."""

from collections.abc import Callable, Mapping
from typing import Any

from sim.profile.profile import Profile, profile_from
from sim.scenario.scenario import Scenario
from sim.units import seconds

Change = Callable[[Scenario], Scenario]


def unchanged(scenario: Scenario) -> Scenario:
    return scenario


def slower(share: float) -> Change:
    """Every service time longer by a share."""

    def change(scenario: Scenario) -> Scenario:
        profiles = {name: stretched(profile, 1 + share) for name, profile in scenario.used_profiles.items()}
        return Scenario.from_dict(scenario.document, profiles=profiles, traces=scenario.traces)

    return change


def stretched(profile: Profile, times: float) -> Profile:
    document = profile.file.model_dump(mode="json", by_alias=True, exclude_none=True)
    for point in document["points"]:
        point["latency_s"] = {name: value * times for name, value in point["latency_s"].items()}
    return profile_from(document)


def longer(key: str, times: float) -> Change:
    """All times below a dotted key longer by a factor; a scenario that does not have the key stays as it is."""

    def change(scenario: Scenario) -> Scenario:
        found = at(scenario.document, key)
        return scenario if found is None else scenario.with_(**{key: scaled(found, times)})

    return change


def scaled(value: Any, times: float) -> Any:
    """Of what a document has at a key, the times; numbers that are no times, like the shape of a law, stay."""
    if isinstance(value, Mapping):
        return {name: inner if name == "kind" else scaled(inner, times) for name, inner in value.items()}
    return f"{seconds(value) * times!r} s" if isinstance(value, str) and value != "never" else value


def at(document: Any, key: str) -> Any:
    """The value at a dotted key of a scenario's document; None if there is none."""
    for part in key.split("."):
        document = document.get(part) if isinstance(document, Mapping) else None
    return document


def longer_queues(places: int) -> Change:
    """The bound of every queue some places longer."""
    return lambda scenario: scenario.of_document(with_places(scenario.document, places))


def with_places(value: Any, places: int) -> Any:
    if isinstance(value, list):
        return [with_places(one, places) for one in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("kind") == "queue bound":
        return {**value, "requests": value["requests"] + places}
    return {name: with_places(one, places) for name, one in value.items()}


SERVICE, PATIENCE, PLACE = "service times 1 % longer", "patience 3 % longer", "a queue one place longer"
BACKOFF, LINGER = "backoff 10 % longer", "linger halved"

# Each fault, and how it is put into a scenario: once, or several times as large (no linger at all is the largest).
FAULTS: dict[str, Callable[[int], Change]] = {
    SERVICE: lambda times: slower(0.01 * times),
    PATIENCE: lambda times: longer("behaviour.patience", 1 + 0.03 * times),
    PLACE: lambda times: longer_queues(times),
    BACKOFF: lambda times: longer("behaviour.retry.backoff", 1 + 0.1 * times),
    LINGER: lambda times: longer("pools.gpus.linger", max(0.0, 1 - 0.5 * times)),
}
