"""Parts of a training beside mmengine's Runner: lock, resume, schedule, stages."""
