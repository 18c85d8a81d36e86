"""The downstream edge: sockets, HTTP, identity, error bodies, streams."""
