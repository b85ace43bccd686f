"""Signup curves fitted to counts: reading the counts, fitting, ranking, and forecasting with a fan."""
