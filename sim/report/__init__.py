"""The report on runs: one HTML file that needs no network and can be printed."""

from sim.report.page import render, write

__all__ = ["render", "write"]
