"""The mind of the simulated server, without clock, input or output: what it makes of each client event, and when."""
