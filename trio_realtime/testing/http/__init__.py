"""What the simulated server says over HTTP: the upgrade, client secrets, calls."""
