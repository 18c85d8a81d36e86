"""What may look at a request or its answer on the way, change it, refuse it, or answer instead."""
