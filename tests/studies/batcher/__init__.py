"""A batching server written from another program's manual, in real time, against the simulator."""
