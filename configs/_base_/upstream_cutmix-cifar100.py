"""Stands in recipes/cutmix-cifar100.py now; this path works until 2027-06-30."""
_base_ = ["recipes/cutmix-cifar100.py"]
