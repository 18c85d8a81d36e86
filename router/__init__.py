"""Trident: a self-hosted, AI-native proxy and data plane for agentic applications."""

__version__ = "0.1.0"
