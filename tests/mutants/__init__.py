"""Small faults put into the code as it is imported, one at a time, each of which a test of behaviour must notice."""
