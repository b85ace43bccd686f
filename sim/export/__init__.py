"""The requests of a simulated service as a schedule that load-test tools send to a real one."""
