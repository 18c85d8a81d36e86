"""Our gRPC services, served and asked: routing and guarding for other languages and other machines."""
