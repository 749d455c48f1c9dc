"""The simulated server itself, without clock, input or output: what it makes of each client event, and when."""
