"""The figures of one run that studies compare, rank and hold against promises."""

import math
from typing import Any

from sim.results.metrics import images_in_time, recorded
from sim.results.run import Run
from sim.results.timeline import FIRST_TOKEN, LATENCIES
from sim.results.verdict import Verdict, verdict


def token_figures(v: Verdict) -> dict[str, float]:
    """p95 of the served: seconds to the first token, and per token. Nothing where no pool runs steps."""
    found = v.latency["p95"].to_dict()
    kinds = {f"p95_{what.replace(' ', '_')}": found.get((of, what, "all")) for of, what in LATENCIES[FIRST_TOKEN:]}
    return {name: value for name, value in kinds.items() if value is not None}


def figures(run: Run) -> dict[str, Any]:
    """The figures of one run that playbooks are compared by; counts at full scale."""
    v = verdict(run)
    images, people = images_in_time(run), recorded(run).people
    counts = ("in_time", "served", "degraded", "lost", "refused", "abandoned", "retried", "unfinished")
    in_time = images["as_asked"] + images["degraded"]
    return {
        "playbook": run.manifest["playbook"],
        "seed": run.manifest["seed"],
        "alive": v.life.alive,
        "attainment": v.life.attainment,
        **{f"images_{name}": v.full(number) for name, number in images.items()},
        "degraded_share": images["degraded"] / in_time if in_time else math.nan,
        "goodput": v.full(v.goodput),
        **{name: v.full(v.counts[name]) for name in counts},
        "p95_latency": v.latency_of_all("p95"),
        **token_figures(v),
        "wasted_gpu_hours": v.full(float(v.gpu_hours["wasted"].sum())),
        "gpu_hours": v.full(float(v.gpu_hours["total"].sum())),
        "dollars": v.dollars,
        "revenue": math.nan if v.money is None else v.money.revenue,
        "margin": math.nan if v.money is None else v.money.margin,
        "kwh": v.full(v.energy["kwh"]),
        "kg_co2e": v.full(v.energy["kg_co2e"]),
        "signups": v.full(v.signups["came"]),
        "let_in": v.full(v.signups["let_in"]),
        "invited": v.full(v.signups["invited"]),
        "signups_lost": v.full(v.signups["lost"]),
        "signups_waiting": v.full(v.signups["waiting"]),
        "churned": v.full(v.churned),
        "kept": v.full(people["everybody"] - people["came"] + people["let_in"] - people["churned"]),
        "saturated_seconds": sum(pool.saturated for pool in v.pools),
        "overloaded": v.overloaded_at_horizon,
    }
