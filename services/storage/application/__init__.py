"""Use cases of the storage service and the ports that they need."""
