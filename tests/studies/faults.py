"""Small faults that are put into the scenarios of a study, to find out whether its rows miss then."""

from collections.abc import Callable, Mapping
from typing import Any

from sim.profile.profile import Profile, profile_from
from sim.scenario.scenario import Scenario

Change = Callable[[Scenario], Scenario]


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


def longer(key: str, times: float) -> Change:
    """All times in seconds below a dotted key longer by a factor."""
    return lambda scenario: scenario.with_(**{key: scaled(at(scenario.document, key), times)})


def scaled(value: Any, times: float) -> Any:
    if isinstance(value, Mapping):
        return {name: inner if name == "kind" else scaled(inner, times) for name, inner in value.items()}
    return f"{float(str(value).removesuffix(' s')) * times} s"


def one_more(key: str) -> Change:
    """The bound of a queue, at a dotted key, one place longer."""
    return lambda scenario: scenario.with_(**{key: at(scenario.document, key) + 1})


def at(document: Any, key: str) -> Any:
    """The value at a dotted key of a scenario's document."""
    for part in key.split("."):
        document = document[int(part)] if part.isdigit() else document[part]
    return document


SERVICE, PATIENCE, PLACE = "service times 1 % longer", "patience 3 % longer", "a queue one place longer"
BACKOFF, LINGER = "backoff 10 % longer", "linger halved"
