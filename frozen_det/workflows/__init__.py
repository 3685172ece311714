"""What joins whole trainings: the chain from a classifier to a measured detector, the sweep."""
