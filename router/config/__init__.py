"""The configuration file: its models, loading it, and what can be wrong with it."""

from router.config.agents import Agent
from router.config.filters import Filter
from router.config.guards import JailbreakGuard, PromptGuards
from router.config.limits import Limits
from router.config.listeners import DEFAULT_ORCHESTRATOR, Listener, ListenerAgent
from router.config.loading import LoadedConfig, load_config
from router.config.problems import ConfigErrors, Problem
from router.config.providers import KNOWN_PROVIDERS, KnownProvider, ModelAlias, ModelProvider
from router.config.schema import Config
from router.config.triton import Orchestrator, Triton

__all__ = [
    "DEFAULT_ORCHESTRATOR",
    "KNOWN_PROVIDERS",
    "Agent",
    "Config",
    "ConfigErrors",
    "Filter",
    "JailbreakGuard",
    "KnownProvider",
    "Limits",
    "Listener",
    "ListenerAgent",
    "LoadedConfig",
    "ModelAlias",
    "ModelProvider",
    "Orchestrator",
    "Problem",
    "PromptGuards",
    "Triton",
    "load_config",
]
