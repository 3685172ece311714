"""Stands in recipes/wsol-cub200.py now; this path works until 2027-06-30."""
_base_ = ["recipes/wsol-cub200.py"]
