"""How soon a cancel is felt, and how soon a killed worker's scene runs again (P9)."""
