"""How fast credentials are checked, made and ended."""
