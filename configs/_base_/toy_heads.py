"""Stands in recipes/toy_heads.py now; this path works until 2027-06-30."""
_base_ = ["recipes/toy_heads.py"]
