"""``resilience``: what is done when a model provider fails or is slow."""

from __future__ import annotations

from pydantic import Field

from router.config.fields import Duration, Number, Section, Whole


class Backoff(Section):
    """Pauses before a provider that failed is asked once more. Another provider is asked at once."""

    base: Duration = Field(
        default=0.1, description="Longest first pause; its length is random. Doubled with every further one."
    )
    max: Duration = Field(
        default=5.0, description="Longest pause. A provider whose `Retry-After` is longer is not waited for."
    )


class CircuitBreaker(Section):
    """When a provider is left alone for a while. Wrong requests and announced rate limits do not count as failures."""

    consecutive_failures: Whole = Field(default=5, ge=1, description="So many failures in a row are enough.")
    failure_ratio: Number = Field(default=0.5, gt=0, le=1, description="And so is this share of failures.")
    window: Duration = Field(default=30.0, description="The time over which the share is taken.")
    min_requests: Whole = Field(default=20, ge=1, description="Fewer requests than that have no share.")
    open_for: Duration = Field(
        default=5.0, description="How long it is left alone at first; up to eight times that while it keeps failing."
    )


class Hedging(Section):
    """A second provider of the same model is asked when a stream takes unusually long to begin."""

    enabled: bool = Field(
        default=False, description="Whether that is done, after the time in which 95 of 100 streams begin."
    )
    min_delay: Duration = Field(default=0.1, description="Shortest time to wait for the first provider.")


class Resilience(Section):
    """Retries, fail-over and circuit breakers of model providers."""

    max_retries: Whole = Field(
        default=2,
        ge=0,
        le=10,
        description="Further tries after a provider failed, at others first. `max_retries` of a listener wins.",
    )
    first_byte_timeout: Duration | None = Field(
        default=None, description="Longest wait for the first event of a stream. Default: the provider's own timeout."
    )
    retry_budget_pct: Number = Field(
        default=20.0,
        ge=0,
        le=100,
        description="Further tries of all requests together, in percent of the requests. Two a second are always free.",
    )
    backoff: Backoff = Field(default=Backoff(), description="Pauses between tries.")
    circuit_breaker: CircuitBreaker = Field(
        default=CircuitBreaker(), description="When providers are left alone for a while."
    )
    hedging: Hedging = Field(default=Hedging(), description="Asking a second provider when one is slow.")
