"""What the orchestrator gets to see of a conversation (pure): which messages, and how much of each.

User and assistant text only, the newest ``MAX_TURNS``, within a budget that the route descriptions count against too. A
message that is too long loses its middle: what somebody wants stands at the beginning or at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from router.context import RouteDescription, Turn
from router.dialects.canonical import message_text

MAX_TURNS = 16
CONTEXT_TOKENS = 8192
CHARS_PER_TOKEN = (
    4  # the usual rule of thumb for English; exact counts would need the tokenizer of whatever model serves
)
_HEAD_SHARE = 0.6
_ELLIPSIS = "…"


def turns(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The newest user and assistant messages that have text, oldest first, at most ``MAX_TURNS``."""
    newest_first: list[Turn] = []
    for message in reversed(messages):
        if message["role"] in {"user", "assistant"}:
            text = message_text(message).strip()
            if text:
                newest_first.append(Turn(message["role"], text))
                if len(newest_first) == MAX_TURNS:
                    break
    newest_first.reverse()
    return newest_first


def fit(
    conversation: Sequence[Turn], routes: Iterable[RouteDescription], *, max_tokens: int = CONTEXT_TOKENS
) -> list[Turn]:
    """The newest turns that fit into ``max_tokens`` with the routes; the very newest always stays, cut if need be."""
    budget = max_tokens * CHARS_PER_TOKEN - sum(len(route.name) + len(route.description) for route in routes)
    kept: list[Turn] = []
    for turn in reversed(conversation):
        if len(turn.content) > budget:
            if not kept:
                kept.append(Turn(turn.role, shorten(turn.content, max(budget, CHARS_PER_TOKEN))))
            break
        kept.append(turn)
        budget -= len(turn.content)
    kept.reverse()
    return kept


def shorten(text: str, max_chars: int) -> str:
    """``text`` without its middle: 60 % of ``max_chars`` from the head, the rest from the tail, ``…`` between."""
    if len(text) <= max_chars:
        return text
    head = int((max_chars - 1) * _HEAD_SHARE)
    tail = max_chars - 1 - head
    return text[:head] + _ELLIPSIS + (text[-tail:] if tail else "")
