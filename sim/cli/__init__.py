"""The meltpoint command, a file for each family of commands."""
