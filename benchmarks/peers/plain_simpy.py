"""M/M/100 at load 0.9 in SimPy: one process a customer, who holds one unit of a resource."""

import random
from collections.abc import Generator

import simpy

ARRIVALS_A_SECOND = 90.0
SERVERS = 100
SERVICE_S = 1.0


def _customer(
    env: simpy.Environment, servers: simpy.Resource, waits: list[float]
) -> Generator[simpy.Event, None, None]:
    arrived = env.now
    with servers.request() as request:
        yield request
        waits.append(env.now - arrived)
        yield env.timeout(random.expovariate(1 / SERVICE_S))


def _source(
    env: simpy.Environment, customers: int, servers: simpy.Resource, waits: list[float]
) -> Generator[simpy.Event, None, None]:
    for _ in range(customers):
        yield env.timeout(random.expovariate(ARRIVALS_A_SECOND))
        env.process(_customer(env, servers, waits))


def play(customers: int, seed: int) -> float:
    """The mean wait of so many customers from an empty start, seconds."""
    random.seed(seed)
    env = simpy.Environment()
    servers = simpy.Resource(env, capacity=SERVERS)
    waits: list[float] = []
    env.process(_source(env, customers, servers, waits))
    env.run()
    return sum(waits) / len(waits)
