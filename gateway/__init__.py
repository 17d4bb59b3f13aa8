"""HTTP gateway: translates REST to gRPC and streams progress. Knows stubs, no service."""
