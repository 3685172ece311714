"""What finished runs and built models say: run records, comparisons of run groups, descriptions."""
