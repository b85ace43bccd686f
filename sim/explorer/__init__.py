"""Pages on which settings are moved: one without a server, over a saved sweep, and one that simulates as you drag."""
