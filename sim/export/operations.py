"""The files beside a runbook: the switches of a playbook for Prometheus, Envoy, Kubernetes, KEDA and flagd."""

import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from sim.export.alerts import alert_rules
from sim.export.envoy import filters
from sim.export.feature_flags import conditions, flags
from sim.export.kubernetes import autoscaler
from sim.export.pieces import Piece
from sim.policies.hpa import Autoscale
from sim.results.run import Run
from sim.scenario.scenario import Scenario

ALERTS, ENVOY, HPA, KEDA, FLAGS = "alerts.yaml", "envoy.yaml", "hpa.yaml", "keda.yaml", "flags.json"
FILES = (ALERTS, ENVOY, HPA, KEDA, FLAGS)
TRIGGERED = "flagd: set the rule `switch-{}` in `$evaluators` to an equality that holds, like 1 == 1, to throw it."


class Plain(yaml.SafeDumper):
    """Writes what occurs twice twice: not every tool reads aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass
class Operations:
    """texts: the files by name. has: for each switch, the files that have it, and remarks on them."""

    texts: dict[str, str] = field(default_factory=dict)
    has: dict[int, list[str]] = field(default_factory=dict)
    remarks: dict[int, list[str]] = field(default_factory=dict)


def operations(run: Run, scenario: Scenario, playbook: str) -> Operations:
    """Only what the playbook has is written; a switch that no tool can express is in no file but perhaps the alerts."""
    numbered = list(enumerate(scenario.in_force(playbook), 1))
    found, pieces = Operations(), dict[str, list[Piece]]()
    found.texts[ALERTS] = dumped(alert_rules(numbered, run))
    for number, step in numbered:
        has, remarks = found.has.setdefault(number, []), found.remarks.setdefault(number, [])
        if step.when is not None:
            has.append(ALERTS)
        piece, file = filters(number, step.policy, scenario), ENVOY
        if isinstance(step.policy, Autoscale):
            piece = autoscaler(number, step.policy)
            file = KEDA if piece.content["kind"] == "ScaledObject" else HPA
        if piece is not None:
            pieces.setdefault(file, []).append(piece)
            has.append(file)
            remarks += [f"{file}: {limit}" for limit in dict.fromkeys(piece.limits)]
        if conditions(step, scenario):
            has.append(FLAGS)
            remarks += [TRIGGERED.format(number)] if step.when is not None else []
    for file, some in pieces.items():
        found.texts[file] = joined(some) if file == ENVOY else "---\n".join(titled(one, one.content) for one in some)
    if (made := flags(numbered, scenario)) is not None:
        found.texts[FLAGS] = json.dumps(made, indent=1, allow_nan=False) + "\n"
    return found


def joined(pieces: list[Piece]) -> str:
    """Envoy's file: the lists of all pieces one after the other, each with the number of its switch."""
    lines = ""
    for key in dict.fromkeys(key for piece in pieces for key in piece.content):
        lines += f"{key}:\n"
        lines += "".join(titled(piece, piece.content[key]) for piece in pieces if key in piece.content)
    return lines


def titled(piece: Piece, content: Any) -> str:
    return f"# switch {piece.number} of runbook.md\n{dumped(content)}"


def dumped(content: Any) -> str:
    return yaml.dump(content, Dumper=Plain, sort_keys=False, allow_unicode=True, width=110)
