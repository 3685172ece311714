"""Samplers and seeds: every draw follows from (run seed, epoch, index)."""
