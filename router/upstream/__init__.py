"""Clusters and the one HTTP client that talks to them."""
