"""Layers of necks and heads; activation checkpointing."""
