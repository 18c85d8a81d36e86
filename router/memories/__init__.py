"""What is remembered of users between their conversations: kept by key, found by meaning (docs/memory.md)."""
