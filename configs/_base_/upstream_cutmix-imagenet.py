"""Stands in recipes/cutmix-imagenet.py now; this path works until 2027-06-30."""
_base_ = ["recipes/cutmix-imagenet.py"]
