"""The policy `hpa` as what it models: a HorizontalPodAutoscaler (autoscaling/v2), or a ScaledObject of KEDA."""

import re
from typing import Any

from sim.export.pieces import Piece
from sim.policies.hpa import Autoscale, Direction
from sim.results.gateway_metrics import OF, escaped
from sim.wording import duration

DCGM = "DCGM_FI_DEV_GPU_UTIL"  # a GPU's utilisation in per cent, of NVIDIA's exporter
SELECT = {"max": "Max", "min": "Min", "disabled": "Disabled"}
FIGURES = {"queued": "AverageValue", "inside": "AverageValue", "expected_wait": "Value"}  # and the kind of target
LONGEST_WINDOW, LONGEST_PERIOD = 3600, 1800  # seconds that Kubernetes accepts


def autoscaler(number: int, policy: Autoscale) -> Piece:
    """The manifest of a scaler; KEDA's where the fleet may be empty, which an autoscaler alone does not do."""
    keda = policy.least == 0
    limits = ["One replica has one GPU, and the Deployment has the name of the pool."]
    if policy.window > 0:
        limits.append(f"The metrics are means over {duration(policy.window)}: let the metrics adapter's query do that.")
    if policy.tolerance != 0.1:
        limits.append(f"The tolerance of {policy.tolerance:g} is a flag of the controller manager (or `tolerance`).")
    if policy.sync != 15 and not keda:
        limits.append(f"Looks every {duration(policy.sync)} are a flag of the controller manager.")
    if policy.procured:
        limits.append(f"The {policy.procured} GPUs bought when it wants more are left out: raise the maximum by hand.")
    up, down = policy.directions
    behavior = {"scaleUp": direction(up, limits), "scaleDown": direction(down, limits)}
    content = scaled_object(policy, behavior, limits) if keda else autoscaling(policy, behavior)
    return Piece(number, content, limits)


def direction(given: Direction, limits: list[str]) -> dict[str, Any]:
    """Kubernetes' behavior in one direction; it counts in whole seconds and whole per cent."""
    rates = []
    for rate in given.rates:
        amount, kind = (rate.gpus, "Pods") if rate.gpus is not None else (rate.percent or 0.0, "Percent")
        rates.append({"type": kind, "value": whole(amount, 2**31 - 1, limits)})
        rates[-1]["periodSeconds"] = whole(rate.period, LONGEST_PERIOD, limits)
    return {
        "stabilizationWindowSeconds": whole(given.stabilisation, LONGEST_WINDOW, limits, least=0),
        "selectPolicy": SELECT[given.select],
        "policies": rates,
    }


def whole(value: float, most: int, limits: list[str], least: int = 1) -> int:
    found = min(max(round(value), least), most)
    if found != value:
        limits.append(f"Kubernetes takes {found} where the playbook has {value:g}.")
    return found


def quantity(value: float) -> str:
    """A quantity of Kubernetes, to thousandths."""
    return f"{value:g}" if float(value).is_integer() and value < 1e6 else f"{round(1000 * value)}m"


def label(name: str) -> str:
    """A pool as the name of an object: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50] or "pool"


def autoscaling(policy: Autoscale, behavior: dict[str, Any]) -> dict[str, Any]:
    metrics: list[dict[str, Any]] = []
    if policy.utilisation is not None:
        target = {"type": "AverageValue", "averageValue": quantity(100 * policy.utilisation)}
        metrics.append({"type": "Pods", "pods": {"metric": {"name": DCGM}, "target": target}})
    for figure, kind in FIGURES.items():
        if (wanted := getattr(policy, figure)) is not None:
            metric = {"name": OF[figure].name, "selector": {"matchLabels": {"pool": policy.pool}}}
            target = {"type": kind, "averageValue" if kind == "AverageValue" else "value": quantity(wanted)}
            metrics.append({"type": "External", "external": {"metric": metric, "target": target}})
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": label(policy.pool)},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": label(policy.pool)},
            "minReplicas": policy.least,
            "maxReplicas": policy.most,
            "metrics": metrics,
            "behavior": behavior,
        },
    }


def scaled_object(policy: Autoscale, behavior: dict[str, Any], limits: list[str]) -> dict[str, Any]:
    """KEDA's object; the server's address must be set."""
    pool = f'{{pool="{escaped(policy.pool)}"}}'
    triggers = []
    if policy.utilisation is not None:
        mean = f"100 * {OF['busy'].name}{pool} / {OF['gpus'].name}{pool}"
        limits.append("KEDA's target for utilisation is that of the pool (Value); Kubernetes' own is a mean over pods.")
        triggers.append(trigger("Value", mean, 100 * policy.utilisation, policy))
    for figure, kind in FIGURES.items():
        if (wanted := getattr(policy, figure)) is not None:
            triggers.append(trigger(kind, f"{OF[figure].name}{pool}", wanted, policy))
    if policy.cool_down is None:
        limits.append("The playbook has no cool-down, so KEDA's default of 300 s holds.")
    cool_down = {} if policy.cool_down is None else {"cooldownPeriod": whole(policy.cool_down, 2**31 - 1, limits, 0)}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": label(policy.pool)},
        "spec": {
            "scaleTargetRef": {"name": label(policy.pool)},
            "pollingInterval": whole(policy.sync, 2**31 - 1, limits),
            **cool_down,
            "minReplicaCount": policy.least,
            "maxReplicaCount": policy.most,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": triggers,
        },
    }


def trigger(kind: str, query: str, target: float, policy: Autoscale) -> dict[str, Any]:
    """KEDA reads every setting of a trigger as a string."""
    settings = {"serverAddress": "http://prometheus:9090", "query": query, "threshold": f"{target:g}"}
    return {
        "type": "prometheus",
        "metricType": kind,
        "metadata": {**settings, "activationThreshold": f"{policy.activation:g}"},
    }
