"""Delivery of results: built once, kept in the outbox, sent until the receiver acknowledged."""
