"""Files of `torch.save` and run records as data: no code of theirs is run."""
