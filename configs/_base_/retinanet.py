"""Stands in models/retinanet.py now; this path works until 2027-06-30."""
_base_ = ["models/retinanet.py"]
