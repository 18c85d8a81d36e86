"""The telemetry process: gathers what the workers report, exports it, and keeps the newest of it to look at."""
