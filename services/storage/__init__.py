"""The storage service: immutable objects, their metadata, and the signed URLs that serve them."""
