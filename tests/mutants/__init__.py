"""Small faults put into a copy of the code, one at a time, each of which some test of behaviour must notice."""
