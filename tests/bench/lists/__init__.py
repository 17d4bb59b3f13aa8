"""Cost of the list of jobs over a large table (P4)."""
