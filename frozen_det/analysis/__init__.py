"""Studies on finished runs and built models: reports, plots, measurements."""
