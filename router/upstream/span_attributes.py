"""What spans say about answers."""

from __future__ import annotations

from router.dialects.canonical import Usage
from router.telemetry import semconv
from router.telemetry.tracing import AttributeValue


def usage_attributes(usage: Usage) -> dict[str, AttributeValue]:
    """The tokens of an answer; kinds that there are none of are left out, input and output apart."""
    rarer = {
        semconv.CACHE_READ_TOKENS: usage.cached,
        semconv.CACHE_WRITE_TOKENS: usage.cache_write,
        semconv.REASONING_TOKENS: usage.reasoning,
    }
    counted: dict[str, AttributeValue] = {name: count for name, count in rarer.items() if count}
    return {semconv.INPUT_TOKENS: usage.input, semconv.OUTPUT_TOKENS: usage.output, **counted}
