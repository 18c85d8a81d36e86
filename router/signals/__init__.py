"""What a finished exchange says about its conversation: friction, failing tools, loops (docs/signals.md). Pure."""
