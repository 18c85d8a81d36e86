"""The whole configuration file as one model."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from router.config.access import Auth
from router.config.admin import Admin
from router.config.agents import Agent
from router.config.fields import Section, Text
from router.config.filters import Filter
from router.config.grpc import Grpc, Services
from router.config.guardrails import Guardrail
from router.config.guards import PromptGuards
from router.config.limits import Limits
from router.config.listeners import Listener
from router.config.overrides import Overrides
from router.config.prompts import Endpoint, ErrorTarget, PromptTarget
from router.config.providers import ModelAlias, ModelProvider
from router.config.ratelimits import RateLimit
from router.config.resilience import Resilience
from router.config.routing import ModelMetricsSource, PromptCaching, Routing, RoutingPreference
from router.config.signals import Signals
from router.config.state import StateStorage
from router.config.tracing import Tracing
from router.config.triton import Orchestrator, Triton

Version = Literal["v0.4.0", "v0.3.0", "0.2.0", "v0.1.0", "v0.1", "0.1-beta"]
VERSIONS: tuple[str, ...] = get_args(Version)


class Config(Section):
    """A configuration file, read and checked."""

    version: Version = Field(description="Version of the format; write `v0.4.0`.")
    agents: tuple[Agent, ...] = Field(default=(), description="The agents that requests are routed to.")
    listeners: tuple[Listener, ...] = Field(min_length=1, description="The ports that clients talk to.")
    model_providers: tuple[ModelProvider, ...] = Field(default=(), description="The models and where they are.")
    model_aliases: dict[str, ModelAlias] = Field(default_factory=dict, description="Other names for models.")
    orchestrators: tuple[Orchestrator, ...] = Field(default=(), description="Models that choose agents.")
    triton: Triton = Field(default=Triton(), description="Where the gateway's own models run.")
    limits: Limits = Field(default=Limits(), description="Bounds on sizes and times.")
    grpc: Grpc | None = Field(default=None, description="Our own gRPC services; off without this section.")
    services: Services = Field(default=Services(), description="Services of ours elsewhere that are asked from here.")
    prompt_guards: PromptGuards = Field(default=PromptGuards(), description="Classifiers that prompts have to pass.")
    guardrails: tuple[Guardrail, ...] = Field(
        default=(), description="Checks that requests and answers have to pass, in order."
    )
    filters: tuple[Filter, ...] = Field(default=(), description="Services that look at requests and answers.")
    resilience: Resilience = Field(default=Resilience(), description="What is done when model providers fail.")
    routing_preferences: tuple[RoutingPreference, ...] = Field(
        default=(), description="Kinds of requests and the models for them."
    )
    model_metrics_sources: tuple[ModelMetricsSource, ...] = Field(
        default=(), description="Where prices and latencies of models come from."
    )
    routing: Routing = Field(default=Routing(), description="Affinity of sessions to models.")
    prompt_caching: PromptCaching = Field(default=PromptCaching(), description="Use of the providers' prompt caches.")
    auth: Auth | None = Field(
        default=None, description="API keys. Without them everybody is served, which is for loopback addresses only."
    )
    ratelimits: tuple[RateLimit, ...] = Field(default=(), description="Limits on the use of models.")
    prompt_targets: tuple[PromptTarget, ...] = Field(default=(), description="APIs that users call in plain language.")
    endpoints: dict[str, Endpoint] = Field(default_factory=dict, description="The services that prompt targets call.")
    error_target: ErrorTarget | None = Field(default=None, description="Who is told about failed calls.")
    system_prompt: Text | None = Field(default=None, description="System prompt for prompt targets.")
    state_storage: StateStorage | None = Field(default=None, description="Where conversations are kept.")
    tracing: Tracing = Field(default=Tracing(), description="What is recorded about requests.")
    signals: Signals = Field(default=Signals(), description="What is looked for in finished conversations.")
    admin: Admin = Field(default=Admin(), description="The operator's port: metrics and health.")
    overrides: Overrides = Field(default=Overrides(), description="Global settings.")
    mode: Literal["llm", "prompt"] | None = Field(default=None, description="Accepted for older files.")
