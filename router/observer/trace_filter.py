"""Which traces somebody wants to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from router.observer.spans import FinishedSpan
from router.observer.trace_store import StoredTrace
from router.telemetry import semconv

MAX_CONDITIONS = 32

Operator: TypeAlias = Literal["=", "~"]

# What can be asked for besides attributes, under names that no attribute has.
_FACTS = frozenset({"name", "service", "kind", "error"})
_AGENT = (semconv.AGENT_ID, semconv.AGENT_NAME)
_MODEL = (semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)


@dataclass(frozen=True, slots=True)
class Condition:
    """That one of ``keys`` of a span is (``=``) or contains (``~``) ``value``, whatever its case for ``~``."""

    keys: tuple[str, ...]
    operator: Operator
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """``key=value`` or ``key~value``. Raises ``ValueError``."""
        places = [place for place in (text.find("="), text.find("~")) if place > 0]
        if not places:
            raise ValueError(f"`{text[:80]}` is not a condition. Write `key=value`, or `key~value` for a part of it.")
        place = min(places)
        return cls((text[:place].strip(),), "~" if text[place] == "~" else "=", text[place + 1 :].strip())

    def matches(self, span: FinishedSpan) -> bool:
        """Whether it is true of this span."""
        return any(self._is_said(value) for key in self.keys for value in _values(span, key))

    def _is_said(self, value: str) -> bool:
        return value == self.value if self.operator == "=" else self.value.casefold() in value.casefold()


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """All that is asked of a trace; conditions need not be true of the same span. Times as in ``FinishedSpan``."""

    conditions: tuple[Condition, ...] = ()
    status: Literal["ok", "error"] | None = None
    min_duration_ms: float = 0.0
    since_ns: int = 0

    @classmethod
    def from_query(cls, query: Mapping[str, Any]) -> TraceFilter:
        """From ``where`` (texts), ``listener``, ``agent``, ``model``, ``status``, ``min_duration_ms``, ``since_ns``.

        Raises ``ValueError``.
        """
        where = query.get("where") or []
        if not isinstance(where, list) or len(where) > MAX_CONDITIONS:
            raise ValueError(f"`where` is a list of at most {MAX_CONDITIONS} conditions.")
        conditions = [Condition.parse(str(text)) for text in where]
        named = {"listener": (semconv.LISTENER,), "agent": _AGENT, "model": _MODEL}
        conditions += [Condition(keys, "=", str(query[name])) for name, keys in named.items() if query.get(name)]
        status = query.get("status")
        if status not in {None, "ok", "error"}:
            raise ValueError("`status` is `ok` or `error`.")
        try:
            least_ms, since_ns = float(query.get("min_duration_ms") or 0.0), int(query.get("since_ns") or 0)
        except (TypeError, ValueError) as exc:
            raise ValueError("`min_duration_ms` and `since_ns` are numbers.") from exc
        return cls(tuple(conditions), status, least_ms, since_ns)

    def matches(self, trace: StoredTrace) -> bool:
        """Whether all of it is true of this trace."""
        spans = trace.spans.values()
        if self.since_ns or self.min_duration_ms:
            root = trace.root
            if root.started_ns < self.since_ns or (root.ended_ns - root.started_ns) / 1e6 < self.min_duration_ms:
                return False
        if self.status is not None and (self.status == "error") != has_failed(trace):
            return False
        return all(any(condition.matches(span) for span in spans) for condition in self.conditions)


def has_failed(trace: StoredTrace) -> bool:
    """Whether any span of the trace has failed."""
    return any(span.error is not None for span in trace.spans.values())


def as_text(value: object) -> str:
    """A value of an attribute as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _values(span: FinishedSpan, key: str) -> list[str]:
    if key in _FACTS:
        fact = getattr(span, key)
        return [] if fact is None else [fact]
    value = span.attributes.get(key)
    if value is None:
        return []
    return [as_text(item) for item in value] if isinstance(value, list) else [as_text(value)]
