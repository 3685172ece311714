"""Stands in schedules/schedule_toy_8e.py now; this path works until 2027-06-30."""
_base_ = ["schedules/schedule_toy_8e.py"]
