"""What Python imports by its name when it starts under `frozen-det run`, whose PYTHONPATH begins with this folder."""
