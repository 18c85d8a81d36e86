"""An external processor for Envoy: the gateway's decisions about traffic that Envoy carries."""
