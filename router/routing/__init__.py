"""Where a request goes: who answers a conversation, and in which order."""
