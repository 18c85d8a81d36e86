"""How much a model is to reason; every family says it in its own fields, which Bedrock passes on to it.

Claude takes the fields of the Messages API. Nova 2 has three efforts
(https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html), models of OpenAI and xAI those of the
canonical form. Effort is advice, so it is left out for models that have no word for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.dialects.anthropic_messages.thinking import thinking_fields
from router.dialects.bedrock_converse.fields import text_field
from router.dialects.bedrock_converse.models import Family
from router.dialects.canonical import JsonObject

_NOVA_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium"}


def reasoning_fields(
    payload: Mapping[str, Any], family: Family | None, turns: Sequence[JsonObject], max_tokens: int | None
) -> JsonObject:
    """The fields for the effort of a request, whose conversation became ``turns``. Raises ``InvalidRequest``."""
    if payload.get("reasoning_effort") is None:
        return {}
    effort = text_field(payload, "reasoning_effort", "")
    model = str(payload.get("model") or "")
    if family == "claude":
        forced = payload.get("tool_choice") not in (None, "auto", "none")
        return thinking_fields(effort, model, max_tokens, tool_is_forced=forced, turn_is_unsigned=_is_unsigned(turns))
    if family == "nova":
        known = "nova-2" in model and effort != "none"
        nova_effort = _NOVA_EFFORTS.get(effort, "high")
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": nova_effort}} if known else {}
    return {"reasoning_effort": effort} if family in ("openai", "xai") else {}


def effort_as_written(extras: Mapping[str, Any]) -> JsonObject:
    """What an Anthropic client says to Claude: more than the canonical effort, and not the same as thinking."""
    config = extras.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    return {} if effort is None else {"output_config": {"effort": effort}}


def _is_unsigned(turns: Sequence[JsonObject]) -> bool:
    """Whether the model goes on with a turn that did not begin with its reasoning, as a thinking model's has to."""
    if len(turns) < 2 or not any("toolResult" in block for block in turns[-1]["content"]):
        return False
    return not any("reasoningContent" in block for block in turns[-2]["content"])
