"""Textbook queues against the simulator."""
