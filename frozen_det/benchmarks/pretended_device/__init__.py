"""A GPU that is not there: tensors on `cuda:0` whose numbers lie on the CPU, for tests of what only a GPU shows."""
