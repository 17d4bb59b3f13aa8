"""The embedded stack.

A real Postgres, a real Redis and every t2m process on one machine, in one data folder.
"""
