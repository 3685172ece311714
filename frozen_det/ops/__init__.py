"""Pure functions on tensors and arrays: no config, no mmdet, no state."""
