"""A scenario file with much in it, for tests that change it, and how they read it."""

import pytest

from sim.errors import BadInput
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from tests.random_scenarios import PROFILES

RICH = """\
title: A rich one
start: 2025-03-25 17:00
horizon: 10 min
tiers:
  free: {share: 3/4}
  plus: {share: 25 %}
features:
  image:
    share: 0.6
    pool: gpus
    slo: 60 s
    spec: {model: slow}
    ladder: [{model: quick}]
  edit: {share: 0.4, pool: spare, slo: 60 s, spec: {model: quick, images: 2}, meter: image}
pools:
  gpus: {gpus: 2, max_batch: 4, linger: 1 s}
  spare: {gpus: 1, max_batch: 2, dollars_per_gpu_hour: 2}
demand:
  - {kind: steady, rate: 5 per min, lasting: 5 min}
  - {kind: spike, people: 20, lasting: 1 min, from: 2025-03-25 17:02, account_age: 5 days}
  - {kind: weibull, people: 5, scale: 3 min, shape: 1.4}
  - {kind: bass, people: 5, innovation: 10 per hour, imitation: 60 per hour}
behaviour:
  requests: {kind: negative binomial, mean: 2, r: 0.5}
  think: {kind: lognormal, median: 5 s, sigma: 1}
  patience: {kind: weibull, scale: 60 s, shape: 0.7}
  retry: {at_most: 2, probability: 0.5, backoff: {kind: uniform, low: 5 s, high: 9 s}, growth: 2}
  churn: 0.1
  returns: {kind: power law, at_one_day: 0.1, decay: 0.7}
  waitlist_patience: {kind: exponential, mean: 1 min}
serving:
  noise: {kind: lognormal, cv: 0.1}
  notices_leaving: true
always:
  - policy: {kind: rate limit, rate: 2 per min, burst: 2}
playbooks:
  none: []
  all:
    - policy: {kind: feature gate, features: [edit], open: 50 %, min_age: 1 min}
      from: 1 min
      until: 2025-03-25 17:05
    - policy: {kind: waitlist, rate: 10 per min}
    - policy: {kind: quota, tiers: [free], requests: 3, window: 1 day, runs: sliding}
    - policy: {kind: concurrency, requests: 1}
    - policy: {kind: queue bound, requests: 100}
    - policy: {kind: wait bound, longest: 2 min}
    - policy: {kind: shed, share: 0.1}
    - policy: {kind: degrade, level: 1, tiers: [free]}
    - policy: {kind: degrade under load, pool: gpus, above: 20 s, below: 10 s, calm: 1 min}
    - policy: {kind: priority, first: [plus]}
overrides:
  more-gpus: {pools: {gpus: {gpus: 8}}}
"""


def read(path, **changes) -> Scenario:
    return load(path, profiles=PROFILES, **changes)


def refused(path, **changes) -> BadInput:
    with pytest.raises(BadInput) as wrong:
        read(path, **changes)
    return wrong.value


def changed(old: str, new: str) -> str:
    assert RICH.count(old) == 1, f"{old!r} is in the file {RICH.count(old)} times"
    return RICH.replace(old, new)
