"""Stands in default_runtime.py now; this path works until 2027-06-30."""
_base_ = ["default_runtime.py"]
