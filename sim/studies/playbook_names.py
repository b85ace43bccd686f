"""Playbooks that studies are given: names of the scenario's own."""

from collections.abc import Sequence

from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.scenario.scenario import Scenario


def name_of(scenario: Scenario, playbook: str | None) -> str:
    """The name of one of the scenario's playbooks, the first where None. Raises BadInput, for steps too."""
    if playbook is not None and not isinstance(playbook, str):
        expected = "its name; for steps of your own, scenario.with_(playbooks={'mine': [{'policy': ...}]})"
        raise BadInput("this takes a playbook of the scenario", key="playbook", value=playbook, expected=expected)
    return chosen(scenario, playbook)[0]


def names_of(playbooks: str | Sequence[str] | None) -> list[str] | None:
    """Names of playbooks, each once: of a text, the one that it is; None for none."""
    given = [playbooks] if isinstance(playbooks, str) else playbooks
    return list(dict.fromkeys(given)) if given else None
