"""Transports of messages without a network, and the promises that any transport has to keep."""
