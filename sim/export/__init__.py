"""What people ask of a simulated service, as a schedule that load-test tools fire at a real one."""
