"""Stands in recipes/toy_detr.py now; this path works until 2027-06-30."""
_base_ = ["recipes/toy_detr.py"]
