"""Webhooks (J8): endpoints, deliveries, and the sender."""
