"""A recorded fleet of GPUs against the simulator."""
