"""Wire formats of Envoy, as far as they are used here."""
