"""The questions that are put to the simulator and to an oracle, and how their answers are compared."""
