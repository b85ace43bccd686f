"""The parts that everything else of the model shares: requests, random streams, knobs, controls and scalar rules."""
