"""What t2m can do, one function an operation: its arguments, its request, what its answer is. No I/O."""
