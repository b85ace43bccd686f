"""What all parts of the model share: requests, random streams, knobs, controls and scalar rules."""
