"""Stands in models/dino_4scale.py now; this path works until 2027-06-30."""
_base_ = ["models/dino_4scale.py"]
