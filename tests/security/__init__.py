"""Attacks on the whole embedded stack; each file is a kind. What stops them: services/auth/README.md."""
