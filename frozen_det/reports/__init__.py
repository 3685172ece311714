"""What finished runs and built models say: run records, comparisons of arms, descriptions."""
