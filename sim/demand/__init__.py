"""Who comes and when (signups), and what they do (users)."""
