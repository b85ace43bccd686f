"""Policies as configuration of Envoy: HTTP filters, and circuit breakers of a pool's cluster (Envoy 1.34 or later)."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from sim.export.pieces import Piece
from sim.policies.adaptive import EnvoyGradient
from sim.policies.base import NamedPolicy
from sim.policies.limits import PoolLimit, RateLimit
from sim.policies.shedding import AdmissionControl, Shed
from sim.scenario.scenario import Scenario

TYPES = "type.googleapis.com/envoy.extensions.filters.http"
EACH = "Each Envoy process counts by itself: divide the figures by their number."
PLENTY = 4_294_967_295  # tokens, the most there can be: the bucket of requests without a descriptor


def filters(number: int, policy: NamedPolicy, scenario: Scenario) -> Piece | None:
    """What Envoy can do of a policy; None where it has nothing like it."""
    make = MAKERS.get(type(policy))
    return None if make is None else make(number, policy, scenario)


def http_filter(name: str, message: str, **config: Any) -> dict[str, Any]:
    typed = {"@type": f"{TYPES}.{name}.v3.{message}", **config}
    return {"http_filters": [{"name": f"envoy.filters.http.{name}", "typed_config": typed}]}


def rate_limit(number: int, policy: RateLimit, scenario: Scenario) -> Piece | None:
    """A bucket for each user: an entry of a descriptor without a value stands for every value."""
    if not 0 < policy.rate < math.inf:
        return None
    each = Fraction(policy.rate).limit_denominator(86400)
    tokens, interval = each.numerator, each.denominator
    limits = [EACH, "Users and tiers are read from the headers x-user-id and x-tier."]
    if not tokens or tokens > policy.burst:  # a bucket holds no more than its depth
        tokens, interval = 1, max(1, round(1 / policy.rate))
        limits.append(f"Envoy fills buckets in whole seconds: here one request every {interval} s.")
    bucket = {"max_tokens": policy.burst, "tokens_per_fill": tokens, "fill_interval": f"{interval}s"}
    user = {"request_headers": {"header_name": "x-user-id", "descriptor_key": "user"}}
    tier = {"request_headers": {"header_name": "x-tier", "descriptor_key": "tier"}}
    tiers: list[Any] = list(policy.tiers) if policy.tiers else [None]
    on = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    content = http_filter(
        "local_ratelimit",
        "LocalRateLimit",
        stat_prefix=f"switch_{number}",
        token_bucket={"max_tokens": PLENTY, "tokens_per_fill": PLENTY, "fill_interval": "1s"},
        filter_enabled={"runtime_key": f"meltpoint.switch_{number}", **on},
        filter_enforced={"runtime_key": f"meltpoint.switch_{number}_enforced", **on},
        rate_limits=[{"actions": [tier, user] if policy.tiers else [user]}],
        descriptors=[
            {"entries": [*([{"key": "tier", "value": t}] if t else []), {"key": "user"}], "token_bucket": bucket}
            for t in tiers
        ],
    )
    return Piece(number, content, [*limits, *of_routes(policy, tiers=False)])


def pool_limit(number: int, policy: PoolLimit, scenario: Scenario) -> Piece:
    pools = dict.fromkeys(scenario.features[name].pool for name in policy.features or scenario.features)
    most = {"priority": "DEFAULT", "max_requests": math.floor(policy.requests)}
    clusters = [{"name": pool, "circuit_breakers": {"thresholds": [most]}} for pool in pools]
    limits = [EACH, *(["Circuit breakers know no tiers: this one is for all."] if policy.tiers else [])]
    return Piece(number, {"clusters": clusters}, limits)


def gradient(number: int, policy: EnvoyGradient, scenario: Scenario) -> Piece:
    least: dict[str, Any] = {"buffer": {"value": 100 * policy.buffer}, "min_concurrency": math.floor(policy.least)}
    if policy.min_rtt is None:
        least |= {"interval": f"{policy.every:g}s", "jitter": {"value": 15}, "request_count": policy.requests}
    else:
        least |= {"fixed_value": f"{policy.min_rtt:g}s"}
    most = {} if policy.most is None else {"max_concurrency_limit": math.floor(policy.most)}
    content = http_filter(
        "adaptive_concurrency",
        "AdaptiveConcurrency",
        gradient_controller_config={
            "sample_aggregate_percentile": {"value": 50},
            "concurrency_limit_params": {**most, "concurrency_update_interval": f"{policy.window:g}s"},
            "min_rtt_calc_params": least,
        },
        enabled={"default_value": True, "runtime_key": f"meltpoint.switch_{number}"},
    )
    said = "Envoy takes a percentile of latency (here the median), the simulated policy the mean."
    return Piece(number, content, [EACH, said, *of_routes(policy)])


def admission(number: int, policy: AdmissionControl, scenario: Scenario) -> Piece:
    def runtime(value: Any, key: str) -> dict[str, Any]:
        return {"default_value": value, "runtime_key": f"meltpoint.switch_{number}_{key}"}

    content = http_filter(
        "admission_control",
        "AdmissionControl",
        enabled=runtime(True, "enabled"),
        success_criteria={"http_criteria": {"http_success_status": [{"start": 200, "end": 400}]}},
        sampling_window=f"{policy.window:g}s",
        aggression=runtime(policy.aggression, "aggression"),
        sr_threshold=runtime({"value": 100 * policy.threshold}, "threshold"),
        rps_threshold=runtime(round(policy.rps_threshold), "rps"),
        max_rejection_probability=runtime({"value": 100 * policy.max_rejection}, "most"),
    )
    return Piece(number, content, [EACH, *final(policy.final), *of_routes(policy)])


def shed(number: int, policy: Shed, scenario: Scenario) -> Piece:
    share = {"numerator": round(1e6 * policy.share), "denominator": "MILLION"}
    content = http_filter("fault", "HTTPFault", abort={"http_status": 503, "percentage": share})
    return Piece(number, content, [*final(policy.final), *of_routes(policy)])


def final(final: bool) -> list[str]:
    return ["Clients must be asked by a header of your own not to try again."] if final else []


def of_routes(policy: Any, *, tiers: bool = True) -> list[str]:
    """Where a filter belongs that is not for everybody."""
    names = [f"features {', '.join(policy.features)}"] if policy.features else []
    names += [f"tiers {', '.join(policy.tiers)}"] if policy.tiers and tiers else []
    return [f"Put it on the routes of {' and '.join(names)} alone."] if names else []


MAKERS: dict[type, Callable[..., Piece | None]] = {
    RateLimit: rate_limit,
    PoolLimit: pool_limit,
    EnvoyGradient: gradient,
    AdmissionControl: admission,
    Shed: shed,
}
