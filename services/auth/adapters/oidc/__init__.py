"""Tokens of other issuers (Clerk, or any OpenID Connect provider), checked offline with their published keys."""
