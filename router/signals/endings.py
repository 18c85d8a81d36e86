"""How an exchange ended: what went wrong at upstreams, and answers that were cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from router.signals.error_types import type_by_words
from router.signals.exchange import Exchange, well_formed
from router.signals.report import Signal, SignalType, snippet

_SURE = 0.95
_CUT_OFF = 0.5  # the limit may be what the client asked for
_MAX_ATTEMPTS = 32

_TYPES: Mapping[str, SignalType] = {
    "timeout": "environment.exhaustion.timeout",
    "upstream_timeout": "environment.exhaustion.timeout",
    "unreachable": "environment.exhaustion.network",
    "upstream_unreachable": "environment.exhaustion.network",
    "rate_limited": "environment.exhaustion.rate_limit",
    "rate_limit_exceeded": "environment.exhaustion.rate_limit",
    "insufficient_quota": "environment.exhaustion.rate_limit",
    "server_error": "environment.exhaustion.api_error",
    "upstream_error": "environment.exhaustion.api_error",
    "internal_error": "environment.exhaustion.api_error",
    "protocol_error": "environment.exhaustion.malformed_response",
    "upstream_protocol_error": "environment.exhaustion.malformed_response",
    "context_length_exceeded": "environment.exhaustion.context_overflow",
    "exceed_context_size_error": "environment.exhaustion.context_overflow",
}
# Outcomes that say nothing about an upstream.
_HARMLESS = frozenset({"ok", "cancelled", "client_error", "not_sent", "request_timeout"})


def read_ending(exchange: Exchange) -> list[Signal]:
    """The signals of how ``exchange`` ended, at the place of its answer, each type once."""
    found: dict[SignalType, Signal] = {}
    for kind, confidence, seen in _endings(exchange):
        found.setdefault(kind, Signal(kind, exchange.end, confidence, snippet(seen)))
    return list(found.values())


def _endings(exchange: Exchange) -> Iterator[tuple[SignalType, float, str]]:
    if exchange.status >= 400:
        kind = _type_of_code(exchange.error_code or "") or _type_of_status(exchange)
        if kind is not None:
            yield kind, _SURE, f"{exchange.status} {exchange.error_code or ''}".strip()
    attempts = list(exchange.attempts)[-_MAX_ATTEMPTS:]
    for outcome in attempts:
        kind = _type_of_code(outcome)
        if kind is not None:
            yield kind, _SURE, ", ".join(attempts)
    if exchange.finish_reason == "length":
        yield "environment.exhaustion.context_overflow", _CUT_OFF, "finish_reason: length"


def _type_of_code(code: str) -> SignalType | None:
    if not code or code in _HARMLESS:
        return None
    if code in _TYPES:
        return _TYPES[code]
    kind = type_by_words(well_formed(code))  # a provider's own code
    return kind if kind is not None and kind.startswith("environment.") else None


def _type_of_status(exchange: Exchange) -> SignalType | None:
    if exchange.error_code in _HARMLESS:
        return None
    if exchange.status == 429:
        return "environment.exhaustion.rate_limit"
    if exchange.status == 504:
        return "environment.exhaustion.timeout"
    return "environment.exhaustion.api_error" if exchange.status >= 500 else None
