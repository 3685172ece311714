"""The few things that everyone changes, as arguments: each becomes entries of the config, and is printed as such."""
