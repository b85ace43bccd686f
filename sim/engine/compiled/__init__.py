"""The compiled engine: the same model as the readable one, as numba functions over arrays."""
