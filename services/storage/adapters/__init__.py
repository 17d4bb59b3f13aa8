"""The ports of the storage service on real parts."""
