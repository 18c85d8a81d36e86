"""Which model serves a request: preferences, their data sources, affinity and prompt caching."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from router.config.fields import Duration, HeaderName, Name, Number, Section, Text, Url, Whole


class SelectionPolicy(Section):
    """How the models of a preference are ordered."""

    prefer: Literal["cheapest", "fastest", "none"] = Field(
        default="none", description="`none` keeps the order of the file."
    )


class RoutingPreference(Section):
    """A kind of request and the models for it."""

    name: Name = Field(description="Name of the preference.")
    description: Text = Field(description="Which requests it is for, in plain language.")
    models: tuple[Name, ...] = Field(
        min_length=1, description="Models to use, the first one first, the others after failures."
    )
    selection_policy: SelectionPolicy = Field(default=SelectionPolicy(), description="Reorders `models`.")


class ModelMetricsSource(Section):
    """Where prices or latencies of models come from."""

    type: Literal["cost", "latency"] = Field(description="What the source knows.")
    provider: Literal["models.dev", "digitalocean", "prometheus"] = Field(
        description="Kind of source: `models.dev` or `digitalocean` for cost, `prometheus` for latency."
    )
    url: Url | None = Field(default=None, description="Where the source is. Needed by `prometheus`.")
    query: Text | None = Field(default=None, description="PromQL expression with a label `model_name`. For latency.")
    refresh_interval: Duration = Field(default=3600.0, description="How often the data is fetched.")
    model_aliases: dict[str, str] = Field(
        default_factory=dict, description="Names in the source's catalogue → models of this configuration. For cost."
    )


class SessionCache(Section):
    """Where pinned sessions are remembered."""

    type: Literal["memory", "redis"] = Field(default="memory", description="`redis` is shared by several gateways.")
    url: SecretStr | None = Field(default=None, description="Redis URL, `redis://` or `rediss://`. Needed by `redis`.")
    tenant_header: HeaderName | None = Field(
        default=None, description="Request header whose value keeps the sessions of tenants apart."
    )


class RoutingBudget(Section):
    """What a session may spend on changing models."""

    max_switch_spend_pct: Number | None = Field(
        default=None, ge=0, le=100, description="Share of the session's cost that changing models may add, in percent."
    )
    seed_usd: Number | None = Field(default=None, ge=0, description="Budget that a session starts with, in US dollars.")
    replenish_on_rebind: bool = Field(default=True, description="Whether a session that starts anew gets it again.")
    credit_negative: bool = Field(default=True, description="Whether a change to a cheaper model pays back.")
    cache_read_discount: Number = Field(
        default=0.1, ge=0, le=1, description="Price of cached input as a share of the price, where none is published."
    )
    record_counterfactual: bool = Field(
        default=False, description="Whether a change that was refused is noted on the trace."
    )


class Routing(Section):
    """Affinity of sessions to models."""

    session_ttl_seconds: Whole = Field(default=600, ge=1, description="How long a session stays with its model.")
    session_max_entries: Whole = Field(default=10_000, ge=1, description="How many sessions are remembered.")
    session_cache: SessionCache = Field(default=SessionCache(), description="Where they are remembered.")
    routing_budget: RoutingBudget | None = Field(default=None, description="Limits the cost of changing models.")
    route_on_user_only: bool = Field(
        default=False, description="Whether only new user messages are routed; tool results stay with the model."
    )
    llm_provider: Name | None = Field(default=None, description="Older spelling of the routing model's provider.")
    model: Name | None = Field(default=None, description="Older spelling of `overrides.llm_routing_model`.")


class PromptCaching(Section):
    """Use of the providers' prompt caches."""

    enabled: bool = Field(default=False, description="Turns all of it on.")
    session_affinity: bool = Field(default=True, description="Keep a conversation with the model that has it cached.")
    inject_cache_control: bool = Field(default=True, description="Set cache markers where the provider needs them.")
    min_prefix_tokens: Whole = Field(default=1024, ge=1, description="Shorter prefixes are not marked.")
    session_ttl_seconds: Whole | None = Field(
        default=None, ge=1, description="How long a conversation stays. Default: `routing.session_ttl_seconds`."
    )
