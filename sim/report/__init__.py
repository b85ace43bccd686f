"""The report on runs: one HTML file that needs no network and can be printed, or Markdown."""

from sim.report.page import render, render_markdown

__all__ = ["render", "render_markdown"]
