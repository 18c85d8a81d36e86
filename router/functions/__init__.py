"""Prompt targets: natural language to validated API calls."""
