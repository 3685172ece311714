"""Stands in recipes/rsb-a3.py now; this path works until 2027-06-30."""
_base_ = ["recipes/rsb-a3.py"]
