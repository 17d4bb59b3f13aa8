"""The whole stack over REST and gRPC."""
