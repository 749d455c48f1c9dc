"""Floor 1: what crosses the socket, as msgspec structs, one per event, named after it."""
