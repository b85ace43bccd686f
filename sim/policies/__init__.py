"""The policies that a scenario can name, a file for each family; any other object with act() is a policy too."""
