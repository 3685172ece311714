"""Blocks, HTML, Markdown and plots that every page is made of. A leaf: imports nothing else of the package."""
