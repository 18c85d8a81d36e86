"""Generated code of our gRPC services; the source is in ``protos/``."""
