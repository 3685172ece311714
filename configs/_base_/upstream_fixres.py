"""Stands in recipes/fixres.py now; this path works until 2027-06-30."""
_base_ = ["recipes/fixres.py"]
