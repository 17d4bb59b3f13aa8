"""Processes killed in the middle, and what must hold all the same."""
