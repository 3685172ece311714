"""Stands in datasets/imagenet1k.py now; this path works until 2027-06-30."""
_base_ = ["datasets/imagenet1k.py"]
