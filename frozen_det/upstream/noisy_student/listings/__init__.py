"""A pool of images as it was listed: which names it has, in which order, and what joined since."""
