"""A trained detector as a function, and the files that predictions go to."""
