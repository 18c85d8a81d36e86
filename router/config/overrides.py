"""``overrides``: global settings under the names that existing configurations use."""

from __future__ import annotations

from pydantic import Field

from router.config.fields import Duration, FilePath, Name, Score, Section, Whole


class Overrides(Section):
    """Global settings."""

    prompt_target_intent_matching_threshold: Score | None = Field(
        default=None, description="Score from which a prompt target fits."
    )
    optimize_context_window: bool = Field(default=False, description="Shorten history to the model's context window.")
    use_agent_orchestrator: bool = Field(default=False, description="Accepted; agent listeners always orchestrate.")
    disable_signals: bool = Field(default=False, description="Turns the analysis of finished conversations off.")
    upstream_connect_timeout: Duration | None = Field(
        default=None, description="Longest wait for a connection to a provider. Default: `limits.connect_timeout`."
    )
    upstream_tls_ca_path: FilePath | None = Field(
        default=None, description="CA certificates that upstreams are checked against. Default: the system's."
    )
    llm_routing_model: Name | None = Field(default=None, description="Model that decides on routing preferences.")
    agent_orchestration_model: Name | None = Field(default=None, description="Model that chooses agents.")
    function_model: Name | None = Field(
        default=None,
        description="Model of `model_providers` that finds the parameters of prompt targets, or `embedded` for none. "
        "Default: the embedded extractor, and the default model for what that is not sure of.",
    )
    orchestrator_model_context_length: Whole = Field(
        default=8192, ge=256, description="Context window of the orchestrator model, in tokens."
    )
