"""Stand-ins for what the gateway talks to, at the seams where it talks to it."""
