"""Plumbing shared by all services. It knows no domain: see README.md beside this file."""
