"""Postgres, Redis and the gRPC clients of the other services, behind the ports of `application`."""
