"""Jobs of the older system, which kept them in Redis."""
