"""Demand: the people and programs that come, and their behaviour."""
