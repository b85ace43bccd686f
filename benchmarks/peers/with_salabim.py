"""M/M/100 at load 0.9 in salabim: one component a customer, whose wait is read off a resource's queue."""

import salabim

ARRIVALS_A_SECOND = 90.0
SERVERS = 100
SERVICE_S = 1.0


def play(customers: int, seed: int) -> float:
    """The mean wait of so many customers from an empty start, seconds."""
    env = salabim.Environment(random_seed=seed)
    gap = salabim.Exponential(1 / ARRIVALS_A_SECOND)
    service = salabim.Exponential(SERVICE_S)
    servers = salabim.Resource("servers", capacity=SERVERS)

    class Customer(salabim.Component):
        def process(self) -> None:
            self.request(servers)
            self.hold(service.sample())
            self.release()

    class Source(salabim.Component):
        def process(self) -> None:
            for _ in range(customers):
                self.hold(gap.sample())
                Customer()

    Source()
    env.run()
    return float(servers.requesters().length_of_stay.mean())
