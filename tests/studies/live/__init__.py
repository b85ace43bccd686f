"""A real server with real clients and GPUs that take real time, against which the simulator is held."""
