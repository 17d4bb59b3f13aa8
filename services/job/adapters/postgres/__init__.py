"""The rows of the order service."""
