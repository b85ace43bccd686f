"""M/M/100 at load 0.9 in Ciw: a network of one node, whose records are read at the end."""

import ciw

ARRIVALS_A_SECOND = 90.0
SERVERS = 100
SERVICE_S = 1.0


def play(customers: int, seed: int) -> float:
    """The mean wait of the first so many customers to leave, from an empty start, seconds."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=ARRIVALS_A_SECOND)],
        service_distributions=[ciw.dists.Exponential(rate=1 / SERVICE_S)],
        number_of_servers=[SERVERS],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(customers)
    waits = [record.waiting_time for record in simulation.get_all_records()]
    return sum(waits) / len(waits)
