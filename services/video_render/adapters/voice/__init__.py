"""Voices: one that needs nothing but its package, one over HTTP."""
