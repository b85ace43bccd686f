"""Retry storms: published experiments made again."""
