"""GPUs at a control tick: in service, failed, moving between pools, switched off, on order."""

from sim.model.controls import Controls, Telemetry
from sim.policies.base import ABSENT, FAILED, MOVING
from sim.policies.playbook import Timed

Counts = dict[str, int]


class Absences:
    """Counts the GPUs of each pool in the slice by state, while the steps of a playbook act."""

    def __init__(self, controls: Controls):
        self.controls = controls
        self.failed, self.gone, self.moving, self.ordered = (dict.fromkeys(controls.pool_names, 0) for _ in range(4))

    def act(self, step: Timed, telemetry: Telemetry) -> None:
        """Let a step act, and take down the GPUs that it takes out of service, or has on order."""
        takes = getattr(step.policy, "takes", None)
        before = {} if takes is None else self.controls.fleets()
        step.act(telemetry, self.controls)
        if takes is not None:
            self.take(takes, before, self.controls.fleets())
        if step.in_force(telemetry.now):
            for pool, gpus in getattr(step.policy, "on_order", {}).items():
                self.ordered[pool] += round(gpus * self.controls.scale)

    def take(self, takes: str, before: Counts, after: Counts) -> None:
        """GPUs have left pools; those that have not come into another are failed, or on their way."""
        under_way = max(sum(before.values()) - sum(after.values()), 0)
        for pool, gpus in after.items():
            left = max(before[pool] - gpus, 0)
            if takes == FAILED:
                self.failed[pool] += left
            else:
                self.gone[pool] += left
                self.moving[pool] += min(left, under_way) if takes == MOVING else 0

    def states(self) -> dict[str, Counts]:
        """The GPUs of each pool by state; switched off are those of the scenario's own that are nowhere else."""
        found = {}
        for pool, gpus in self.controls.fleets().items():
            off = max(self.controls.own_gpus[pool] - gpus - self.failed[pool] - self.gone[pool], 0)
            absent = (self.failed[pool], self.moving[pool], off, self.ordered[pool])
            found[pool] = {"change": gpus, **dict(zip(ABSENT, absent, strict=True))}
        return found
