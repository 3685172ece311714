"""Toy scenes, the data set that the package writes itself."""
