"""The composition root: a checked configuration becomes live objects, which start, drain and close together."""

from __future__ import annotations

from router.runtime.agents import build_routers, models_in_use
from router.runtime.models import build_chats, build_model_router, build_services
from router.runtime.orchestrators import Orchestrators
from router.runtime.parts import Surroundings
from router.runtime.process import serve
from router.runtime.serving import Runtime
from router.runtime.succession import Assignment, CarryOut, Command

__all__ = [
    "Assignment",
    "CarryOut",
    "Command",
    "Orchestrators",
    "Runtime",
    "Surroundings",
    "build_chats",
    "build_model_router",
    "build_routers",
    "build_services",
    "models_in_use",
    "serve",
]
