"""How long a GPU takes for a batch: profiles, their files, and how they are measured."""
