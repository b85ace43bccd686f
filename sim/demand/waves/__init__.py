"""Signup waves: their shapes, publicly documented launches, and the instants at which people come."""
