"""What outlives a request: one small store protocol, and the places where it is kept."""
