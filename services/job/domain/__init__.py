"""Entities, state machine and rules of an order; pure Python."""
