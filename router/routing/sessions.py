"""What a session is (pure): how it is recognized, what is remembered of it, and what becomes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

import orjson

from router.dialects.canonical import ChatRequest, encode_json, message_text
from router.routing.budget import Ledger, RoutingBudget, SwitchReason

SettleReason: TypeAlias = Literal["new", "same_model", "cold", "pinned"] | SwitchReason

_IMPLICIT_PREFIX = "implicit:"
_IMPLICIT_CHARS = 16  # as existing clients know it; 64 bits of SHA-256
_SYSTEM_ROLES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Binding:
    """What is remembered of a session: its model, the one that the client named, and when it was used (Unix time).

    ``fallbacks`` are the models to try when its own fails.
    """

    model: str
    requested: str | None
    used_at: float
    ledger: Ledger
    fallbacks: tuple[str, ...] = ()

    def encode(self) -> bytes:
        ledger = self.ledger
        return orjson.dumps(
            [
                self.model,
                self.requested,
                self.used_at,
                [ledger.default_model, ledger.baseline_usd, ledger.spent_usd, ledger.switches],
                self.fallbacks,
            ]
        )

    @classmethod
    def decode(cls, value: bytes) -> Binding:
        """Raises ``ValueError`` or ``TypeError`` for what ``encode`` has not written."""
        model, requested, used_at, (default_model, baseline, spent, switches), fallbacks = orjson.loads(value)
        return cls(
            str(model),
            None if requested is None else str(requested),
            float(used_at),
            Ledger(str(default_model), float(baseline), float(spent), int(switches)),
            tuple(str(name) for name in fallbacks),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """The session of one request. ``id`` is the client's name for it, or ours.

    ``model`` decides without routing; ``None`` where routing is asked. ``binding`` is what was remembered, ``None`` for
    a new session and for one whose model is gone.
    """

    id: str
    key: str
    ttl_s: float
    requested: str | None
    binding: Binding | None
    model: str | None
    budget: RoutingBudget | None

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """The models to try when the session's own fails."""
        return () if self.binding is None else self.binding.fallbacks


@dataclass(frozen=True, slots=True)
class SettledSession:
    """What became of a session: ``model`` serves it, ``pinned`` because it did before, ``switched`` because it changed.

    ``cost_usd`` is what the change costs, or would have; ``refused`` is the model that the budget did not pay for,
    where that is to be recorded.
    """

    session_id: str
    model: str
    pinned: bool
    switched: bool
    reason: SettleReason
    cost_usd: float | None = None
    refused: str | None = None


def recognize(request: ChatRequest) -> str | None:
    """The name of a session that has none: what its conversation begins with, hashed. ``None`` without a user message.

    Only text counts, since clients move their cache markers along.
    """
    system: list[str] = []
    for message in request.messages:
        if message["role"] in _SYSTEM_ROLES:
            system.append(message_text(message))
        elif message["role"] == "user":
            beginning = encode_json([system, message_text(message) or message.get("content")])
            return f"{_IMPLICIT_PREFIX}{hashlib.sha256(beginning).hexdigest()[:_IMPLICIT_CHARS]}"
    return None


def is_continued(request: ChatRequest) -> bool:
    """Whether the newest message is no user's: a tool's result, or an answer to go on with."""
    messages = request.messages
    return bool(messages) and messages[-1]["role"] != "user"


def settle_freely(session: Session, candidate: str) -> tuple[SettledSession, Ledger]:
    """What becomes of a session without a budget, and its ledger, which stays as it was."""
    before = session.binding
    if session.model is not None and before is not None:
        return SettledSession(session.id, session.model, True, False, "pinned"), before.ledger
    if before is None:
        return SettledSession(session.id, candidate, False, False, "new"), Ledger(candidate)
    same = before.model == candidate
    return SettledSession(session.id, candidate, same, not same, "same_model" if same else "no_limit"), before.ledger
