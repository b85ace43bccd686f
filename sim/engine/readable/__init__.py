"""The readable engine, which defines the model: SimPy's processes, users, gateway, queues and GPUs."""
