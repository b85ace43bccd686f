"""The same scenarios in other simulators: oracles that share nothing with the package but the question.

No file here imports anything of `sim`; they draw their own random numbers, by numpy's or the peer's own generators.
"""
