"""The composition root: a checked configuration becomes live objects, which start, drain and close together."""

from __future__ import annotations

from router.runtime.agents import build_routers, models_in_use
from router.runtime.models import unavailable_reason
from router.runtime.serving import Runtime, serve

__all__ = ["Runtime", "build_routers", "models_in_use", "serve", "unavailable_reason"]
