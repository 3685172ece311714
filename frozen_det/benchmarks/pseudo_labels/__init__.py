"""Parts of the benchmark of labelling: rows of a pool that does not exist, and joint batches of them."""
