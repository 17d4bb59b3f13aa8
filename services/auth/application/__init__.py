"""Use cases of auth and the ports they need."""
