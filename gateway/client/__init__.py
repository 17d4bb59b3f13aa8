"""Python client of the REST face. Needs httpx and nothing else of this repository."""

from gateway.client.client import Event, T2MClient, T2MError

__all__ = ["Event", "T2MClient", "T2MError"]
