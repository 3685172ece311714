"""Stands in datasets/toy_scenes.py now; this path works until 2027-06-30."""
_base_ = ["datasets/toy_scenes.py"]
