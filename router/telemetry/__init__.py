"""Names, counters and logs."""
