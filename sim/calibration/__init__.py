"""Parameters of a scenario fitted to what operators recorded, each with its interval, its method and its file."""
