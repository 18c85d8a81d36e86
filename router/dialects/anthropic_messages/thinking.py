"""Reasoning in the Messages API: how much of it is asked for, and whose it is.

Claude 4.6 and later choose how much they think and take an effort; models before that, and servers of others that
speak this API, take a budget of tokens (https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking). A
budget is at least 1,024 tokens, and stays below ``max_tokens``, of which it is a part: here, at half of it.

reasoning_effort         none      minimal  low     medium  high    xhigh   max
budget_tokens            no field  1,024    2,048   8,192   16,384  32,768  65,536
output_config.effort     disabled  low      low     medium  high    xhigh   max

The other way, a budget is the highest effort up to ``high`` whose own budget it reaches; below 2,048 it is ``low``: not
every model that reasons knows the other words.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal, TypeAlias

import orjson

from router.dialects.anthropic_messages.arguments import answer_json
from router.dialects.anthropic_messages.fields import wrong
from router.dialects.canonical import JsonObject

Version: TypeAlias = tuple[int, int]

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 65_536}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_MIN_BUDGET = 1024
_ADAPTIVE_SINCE: Version = (4, 6)
_XHIGH_SINCE: Version = (4, 7)
_LATEST: Version = (99, 0)
_CLAUDE = re.compile(r"claude(?P<rest>[-\w.@:]*)")
# Major and minor version, before or behind the family's name; eight digits are a date.
_VERSION = re.compile(r"(?<![\d])(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")

# Stands before a Responses item that is kept in the place of a signature.
_ITEM_MARK = "reasoning-item."


def claude_version(model: str) -> Version | None:
    """The version of a Claude model; ``None`` for models of others. A name without a version counts as the latest."""
    found = _CLAUDE.search(model)
    if found is None:
        return None
    version = _VERSION.search(found["rest"])
    return (int(version[1]), int(version[2] or 0)) if version else _LATEST


def effort_of_budget(budget: int) -> Literal["low", "medium", "high"]:
    """The effort that a budget of thinking tokens stands for."""
    if budget >= BUDGETS["high"]:
        return "high"
    return "medium" if budget >= BUDGETS["medium"] else "low"


def thinking_fields(
    effort: str, model: str, max_tokens: int | None, *, tool_is_forced: bool, turn_is_unsigned: bool
) -> JsonObject:
    """The fields that ask ``model`` for the ``effort`` of a canonical request.

    Effort is advice, so a request that the provider would refuse with thinking goes on without: one that forces a tool,
    and, with a budget, one that goes on with a turn whose beginning holds no reasoning that Anthropic signed.
    """
    version = claude_version(model)
    adaptive = version is not None and version >= _ADAPTIVE_SINCE
    if effort == "none":
        return {"thinking": {"type": "disabled"}} if adaptive else {}
    if effort not in _EFFORTS:
        raise wrong("reasoning_effort", f"one of none, {', '.join(_EFFORTS)}")
    if version is not None and adaptive:
        word = "max" if effort == "xhigh" and version < _XHIGH_SINCE else _EFFORTS[effort]
        thinking: JsonObject = {} if tool_is_forced else {"thinking": {"type": "adaptive"}}
        return {**thinking, "output_config": {"effort": word}}
    budget = BUDGETS[effort] if max_tokens is None else min(BUDGETS[effort], max_tokens // 2)
    if budget < _MIN_BUDGET or tool_is_forced or turn_is_unsigned:
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def is_foreign(block: JsonObject) -> bool:
    """Whether a thinking block was made by the gateway out of another provider's reasoning: Anthropic refuses those."""
    if block.get("type") != "thinking":
        return False
    signature = block.get("signature")
    return not signature or (isinstance(signature, str) and signature.startswith(_ITEM_MARK))


def block_from_canonical(block: JsonObject) -> JsonObject | None:
    """The block that a client of this dialect reads, and sends back, for one of ``thinking_blocks``."""
    kind = block.get("type")
    if kind == "thinking":
        text, signature = block.get("thinking"), block.get("signature")
        return {
            "type": "thinking",
            "thinking": text if isinstance(text, str) else "",
            "signature": signature if isinstance(signature, str) else "",
        }
    if kind == "redacted_thinking" and isinstance(block.get("data"), str):
        return {"type": "redacted_thinking", "data": block["data"]}
    if kind == "reasoning":
        signature = _ITEM_MARK + base64.urlsafe_b64encode(answer_json(block)).decode()
        return {"type": "thinking", "thinking": _summary(block), "signature": signature}
    return None


def block_to_canonical(block: JsonObject) -> JsonObject:
    """The entry of ``thinking_blocks`` for a thinking block that a client sent back."""
    signature = block.get("signature")
    if isinstance(signature, str) and signature.startswith(_ITEM_MARK):
        try:
            item = orjson.loads(base64.urlsafe_b64decode(signature[len(_ITEM_MARK) :]))
        except (binascii.Error, ValueError):
            return block
        if isinstance(item, dict) and item.get("type") == "reasoning":
            return item
    return block


def _summary(item: JsonObject) -> str:
    parts = item.get("summary")
    texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "\n\n".join(text for text in texts if isinstance(text, str))
