"""The documentation: guides in Markdown, and what Sphinx generates from docstrings and results."""
