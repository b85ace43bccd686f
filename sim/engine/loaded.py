"""Importing this module loads the engine with its machine code: copies of a process that has done so start at once."""

import gc

from sim.engine.first_use import run_tiny
from sim.model.jit import compiled_before

if compiled_before():  # else the command is about to make it, and two would take twice as long
    run_tiny()
gc.freeze()  # what is loaded stays: a collection in a copy would only write to memory that all copies share
