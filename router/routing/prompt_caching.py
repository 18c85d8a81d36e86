"""Cache markers for Anthropic's models (pure): where a prefix is worth keeping, and the client has set none.

Other providers cache on their own; these keep what lies before a ``cache_control``, and charge a quarter more for
writing it. Marked are the system prompt, which every conversation shares, and the end of the conversation up to the
model's newest answer: all that was sent before and will be sent again. Reference:
https://platform.claude.com/docs/en/build-with-claude/prompt-caching.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from router.routing.context_size import characters
from router.routing.prompt import CHARS_PER_TOKEN

CACHE_HEADER = "x-plano-cache"

_FIELD = "cache_control"
_MARKER = {"type": "ephemeral"}
_SYSTEM_ROLES = frozenset({"system", "developer"})
# A tool result becomes a block of its own, whose parts cannot be marked.
_MARKABLE_ROLES = frozenset({"user", "assistant"})
_UNMARKABLE_BLOCKS = frozenset({"thinking", "redacted_thinking"})


def is_wanted(headers: Mapping[str, str]) -> bool:
    """Whether the client lets the gateway care for prompt caches: ``X-Plano-Cache: off`` says no, for one request."""
    return headers.get(CACHE_HEADER, "").strip().lower() != "off"


def needs_markers(model: str) -> bool:
    """Whether ``provider/model`` caches only what is marked: Anthropic's models, wherever they are served."""
    provider, _, name = model.partition("/")
    return provider == "anthropic" or "claude" in name.lower()


def mark_canonical(payload: Mapping[str, Any], *, min_prefix_tokens: int) -> dict[str, Any]:
    """``payload``, a canonical request, with markers; the same content where none are due. The original stays."""
    marked = dict(payload)
    messages = payload["messages"]
    if _is_marked(payload, messages, payload.get("tools")):
        return marked
    result = list(messages)
    least = min_prefix_tokens * CHARS_PER_TOKEN
    size = characters(payload.get("tools"))
    lead = _leading_system(messages)
    size += characters(*messages[:lead])
    if lead and size >= least:
        result[lead - 1] = _with_marked_content(messages[lead - 1]) or messages[lead - 1]
    marked["messages"] = _mark_history(result, size, lead, least)
    return marked


def mark_anthropic(body: Mapping[str, Any], *, min_prefix_tokens: int) -> dict[str, Any]:
    """``body``, a request in the Anthropic Messages form, with markers; the original stays."""
    marked = dict(body)
    system, messages = body.get("system"), body.get("messages")
    if not isinstance(messages, list) or _is_marked(body, messages, body.get("tools"), system):
        return marked
    least = min_prefix_tokens * CHARS_PER_TOKEN
    size = characters(body.get("tools"), system)
    if size >= least:
        content = _marked_content(system)
        if content is not None:
            marked["system"] = content
    marked["messages"] = _mark_history(list(messages), size, 0, least)
    return marked


def _mark_history(messages: list[Any], size: int, start: int, least: int) -> list[Any]:
    """Mark the last markable message up to the newest answer, in place, where what lies before it is long enough.

    ``size`` is what lies before ``messages[start]``, in characters.
    """
    end = next(
        (place for place in range(len(messages) - 1, start - 1, -1) if _role(messages[place]) == "assistant"), -1
    )
    for place in range(end, start - 1, -1):
        marked = _with_marked_content(messages[place]) if _role(messages[place]) in _MARKABLE_ROLES else None
        if marked is not None:
            if size + characters(*messages[start : place + 1]) >= least:
                messages[place] = marked
            break
    return messages


def _leading_system(messages: Sequence[Any]) -> int:
    """How many messages the system prompt at the beginning has."""
    for place, message in enumerate(messages):
        if _role(message) not in _SYSTEM_ROLES:
            return place
    return len(messages)


def _with_marked_content(message: Any) -> dict[str, Any] | None:
    content = _marked_content(message.get("content")) if isinstance(message, dict) else None
    return None if content is None else {**message, "content": content}


def _marked_content(content: object) -> list[Any] | None:
    """``content`` as parts, with a marker at the last one that can bear it; ``None`` where none can."""
    if isinstance(content, str):
        return [{"type": "text", "text": content, _FIELD: _MARKER}] if content.strip() else None
    if not isinstance(content, list):
        return None
    for place in range(len(content) - 1, -1, -1):
        part = content[place]
        if _can_bear_marker(part):
            return [*content[:place], {**part, _FIELD: _MARKER}, *content[place + 1 :]]
    return None


def _can_bear_marker(part: object) -> bool:
    if not isinstance(part, dict) or part.get("type") in _UNMARKABLE_BLOCKS:
        return False
    text = part.get("text")
    return part.get("type") != "text" or (isinstance(text, str) and bool(text.strip()))


def _is_marked(body: Mapping[str, Any], messages: Iterable[Any], *others: object) -> bool:
    """Whether the client has set markers itself: on the request, a message, a part, a call, a tool, the system."""
    if _FIELD in body:
        return True
    inner = [
        message.get(name) for message in messages if isinstance(message, dict) for name in ("content", "tool_calls")
    ]
    for items in (messages, *inner, *others):
        if isinstance(items, list) and any(isinstance(item, dict) and _FIELD in item for item in items):
            return True
    return False


def _role(message: object) -> str | None:
    role = message.get("role") if isinstance(message, dict) else None
    return role if isinstance(role, str) else None
