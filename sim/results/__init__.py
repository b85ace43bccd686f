"""What a run leaves behind, and the figures made of it: tables, timeline, metrics, costs, storms, verdict."""
