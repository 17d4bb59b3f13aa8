"""Entities and rules of auth; pure Python."""
