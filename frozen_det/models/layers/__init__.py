"""Layers of the decoders, activation checkpointing."""
