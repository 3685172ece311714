"""What stands around a Runner: lock, resume, schedule, stages."""
