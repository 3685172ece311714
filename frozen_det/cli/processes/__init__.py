"""Processes that commands start; none is a command."""
