"""Tests of t2m; the real servers they use are in ``stack``."""
