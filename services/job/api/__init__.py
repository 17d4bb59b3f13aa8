"""The gRPC face: decode, use case, encode."""
