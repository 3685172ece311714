"""Stands in schedules/schedule_b7_230e.py now; this path works until 2027-06-30."""
_base_ = ["schedules/schedule_b7_230e.py"]
