"""Strict fake providers: real servers on port 0 that refuse what the provider's real API would refuse."""
