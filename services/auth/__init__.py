"""auth: users, sessions, API keys, and the tokens that every other service verifies offline."""
