"""A real server with GPUs that only take their time, and real clients: what the simulator is held against."""
