"""API dialects, sans-I/O: bytes in, values out, and back."""
