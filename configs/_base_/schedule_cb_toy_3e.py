"""Stands in schedules/schedule_cb_toy_3e.py now; this path works until 2027-06-30."""
_base_ = ["schedules/schedule_cb_toy_3e.py"]
