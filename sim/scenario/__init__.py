"""The question that is asked: a scenario's schema, how it is read, and the people it brings."""
