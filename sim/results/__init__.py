"""The results of a run, and the figures computed from them: tables, timeline, metrics, costs, storms, verdict."""
