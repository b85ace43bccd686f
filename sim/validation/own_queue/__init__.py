"""The log of a user's own queue, replayed and forecast by the simulator."""
