"""Stands in recipes/fixres-base.py now; this path works until 2027-06-30."""
_base_ = ["recipes/fixres-base.py"]
