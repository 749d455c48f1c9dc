"""Floor 2: what the session knows. Pure and synchronous: events in, effects out; time and ids are arguments."""
