"""Triton Inference Server: the client, typed model calls, the embedded server and the model repository."""
