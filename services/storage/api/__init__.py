"""The gRPC face of the storage service."""
