"""Hooks of mmengine's Runner."""
