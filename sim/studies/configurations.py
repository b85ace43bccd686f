"""What a comparison compares: scenarios, each with a playbook and a label, and what differs between them."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sim.engine.simulate import chosen
from sim.errors import LOADED, BadInput, refuse_other
from sim.model.controls import Policy
from sim.policies.playbook import Step
from sim.results.folder import MANIFEST
from sim.results.run import Run, load_run
from sim.scenario.document import explained
from sim.scenario.fields import UNLIMITED
from sim.scenario.load import plain_value
from sim.scenario.scenario import Scenario
from sim.studies.playbook_names import names_of
from sim.studies.store import LABELS
from sim.studies.sweep import changed, scenario_with

Playbook = str | Sequence[Step | Policy] | None
Given = Scenario | Iterable[Sequence[Any]] | Mapping[str, Any]
SERVICE = ("pools", "serving", "footprint", "plan", "alive", "always", "control_tick")  # keys that change no people
EXPECTED = "(label, scenario) or (label, scenario, playbook), like ('double', scenario.with_(...), 'none')"
FORM = "'NAME: KEY=VALUE ...', with the keys of --set, and scenario=, override= and playbook="


@dataclass(frozen=True)
class Configuration:
    """A scenario under a playbook, with the label that columns have for it."""

    label: str
    scenario: Scenario
    playbook: Playbook = None

    @property
    def about(self) -> dict[str, Any]:
        """What it is, for a manifest."""
        name, _ = chosen(self.scenario, self.playbook)
        return {"title": self.scenario.title, "playbook": name, "scenario": self.scenario.digest}


def configurations(given: Given, playbooks: str | Sequence[str] | None = None) -> list[Configuration]:
    """The playbooks of one scenario (all where None), or labels with scenarios and playbooks. Raises BadInput."""
    if isinstance(given, Scenario):
        names = names_of(playbooks) or list(given.playbooks)
        found = [Configuration(name, given, name) for name in names]
    else:
        if playbooks is not None:
            message = "each configuration has its own playbook"
            raise BadInput(message, key="playbooks", value=playbooks, expected=EXPECTED)
        if isinstance(given, str):
            refuse_other(Scenario, given, LOADED)
        pairs = given.items() if isinstance(given, Mapping) else None
        rows = [(k, *(v if isinstance(v, tuple) else (v,))) for k, v in pairs] if pairs is not None else list(given)
        found = [one if isinstance(one, Configuration) else configuration(one) for one in rows]
    for one in found:
        chosen(one.scenario, one.playbook)
    labels = [one.label for one in found]
    twice = next((label for label in labels if labels.count(label) > 1 or label == UNLIMITED), None)
    if not labels:
        raise BadInput("nothing is compared", key="configurations", expected="one or more")
    if twice is not None:
        taken = "the unlimited fleet" if twice == UNLIMITED else "another configuration"
        expected = "a label of its own for each (the scenario as it is has its name)"
        raise BadInput(f"this is what {taken} is called", key="label", value=twice, expected=expected)
    return found


def configuration(given: Any) -> Configuration:
    """One configuration from a tuple. Raises BadInput."""
    parts = tuple(given) if isinstance(given, tuple | list) else ()
    if not (2 <= len(parts) <= 3 and isinstance(parts[0], str) and parts[0].strip() and isinstance(parts[1], Scenario)):
        raise BadInput("this is no configuration", key="configuration", value=given, expected=EXPECTED)
    return Configuration(*parts)


def scenario_at(name: str, *, override: str | None = None, sets: Mapping[str, Any] | None = None) -> Scenario:
    """A scenario by name or file, or that of a saved run, by its folder, with settings on top. Raises BadInput."""
    folder = Path(name)
    if not (folder / MANIFEST).is_file():
        return scenario_with(name, override, sets or {})
    if override is not None:
        raise BadInput("a saved run has its override in it", file=folder, key="override", value=override)
    made = scenario_of(load_run(folder))
    return changed(made, sets) if sets else made


def scenario_of(run: Run) -> Scenario:
    """The scenario of a run, from its manifest. Raises BadInput where its profiles are not as they were."""
    document, known = run.manifest["scenario"], run.manifest["profiles"]
    try:
        scenario = Scenario.from_dict(document)
    except ValidationError as wrong:
        raise explained(wrong, document, Scenario) from None
    for model, profile in scenario.used_profiles.items():
        then = known.get(model, {}).get("sha256")
        if profile.sha256 != then:
            why = "this profile has changed since the run was saved"
            raise BadInput(why, key=f"profiles.{model}", value=then, expected=profile.sha256)
    return scenario


def read_configuration(
    text: str, scenario: str, *, override: str | None, sets: Mapping[str, Any], playbook: str | None
) -> Configuration:
    """A configuration in words, laid over the scenario, override, settings and playbook it departs from.

    'double: pools.fleet.gpus=24 playbook=none': a label, then keys of the scenario as --set has them, or scenario=,
    override= (each in place of the one it departs from) and playbook=. Raises BadInput.
    """
    label, colon, rest = text.partition(":")
    try:
        words = [word.partition("=") for word in shlex.split(rest)]
    except ValueError as wrong:
        raise BadInput(f"this cannot be read ({wrong})", key="--config", value=text, expected=FORM) from None
    keys = [key for key, _, _ in words]
    if (
        not colon
        or not label.strip()
        or not all(key and equals for key, equals, _ in words)
        or len({*keys}) < len(keys)
    ):
        raise BadInput("this is no configuration", key="--config", value=text, expected=FORM)
    said = {key: value for key, _, value in words}
    own = {key: said.pop(key, None) for key in ("scenario", "override", "playbook")}
    over = own["override"] or (override if own["scenario"] is None else None)
    settings = {**sets, **{key: plain_value(value, key) for key, value in said.items()}}
    name = own["scenario"] or scenario
    made = scenario_at(name, override=over, sets=settings)
    return Configuration(label.strip(), made, own["playbook"] or playbook or of_saved(name))


def of_saved(name: str) -> str | None:
    """The playbook of a saved run; None for a scenario."""
    return str(load_run(Path(name)).manifest["playbook"]) if (Path(name) / MANIFEST).is_file() else None


def same_people(scenarios: Sequence[Scenario]) -> bool:
    """Whether all of them have the same people, who ask for the same at the same times if nothing holds them back."""
    return len({one.digest_without(*LABELS, *SERVICE) for one in scenarios}) == 1


def reference_of(scenario: Scenario, others: Sequence[Scenario]) -> Scenario:
    """The scenario whose unlimited fleet it is held against: one of the others, if only the numbers of GPUs differ."""
    for other in others:
        if list(other.pools) != list(scenario.pools):
            continue
        try:
            made = scenario.with_(pools={name: {"gpus": pool.gpus} for name, pool in other.pools.items()})
        except BadInput:
            continue
        if made.digest_without(*LABELS) == other.digest_without(*LABELS):
            return other
    return scenario


def changes(before: Any, after: Any, key: str = "") -> dict[str, tuple[Any, Any]]:
    """The keys at which two documents differ, dotted, each with its value before and after (None: not there)."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = [name for name in dict.fromkeys([*before, *after]) if key or name not in LABELS]
        found: dict[str, tuple[Any, Any]] = {}
        for name in names:
            found |= changes(before.get(name), after.get(name), f"{key}.{name}" if key else str(name))
        return found
    return {} if before == after else {key: (before, after)}
