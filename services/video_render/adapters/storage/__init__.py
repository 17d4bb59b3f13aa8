"""Files: the storage service over gRPC, segments kept on this machine, and scratch folders."""
