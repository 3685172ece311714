"""What depends on the device: whether a GPU computes what a CPU does, the modes of a step, how fast images are read."""
