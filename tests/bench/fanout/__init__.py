"""Events of many jobs to many clients, from the commit to the client (P3)."""
