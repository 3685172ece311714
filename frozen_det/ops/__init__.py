"""Pure functions on tensors and arrays: no config, no host, no state."""
