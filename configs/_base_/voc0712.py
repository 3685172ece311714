"""Stands in datasets/voc0712.py now; this path works until 2027-06-30."""
_base_ = ["datasets/voc0712.py"]
