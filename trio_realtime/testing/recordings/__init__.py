"""What went over the wire of a session: written, read, redacted, replayed."""
