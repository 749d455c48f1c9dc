"""What brings a simulated server to its clients: in memory, and over a socket."""
