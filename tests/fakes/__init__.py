"""Fakes behind ports; each is proven equal to the real part by a contract suite."""
