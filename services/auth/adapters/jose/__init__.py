"""Signing keys and tokens by joserfc."""
