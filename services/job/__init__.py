"""The order service: who asked for which video, what became of it. See README.md beside this file."""
