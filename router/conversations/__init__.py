"""Responses and conversations that the gateway keeps, so that clients can refer to them whoever answers."""
