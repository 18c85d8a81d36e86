"""``guardrails``: checks of what goes to agents and models and of what they answer."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from router.config.fields import VALUE, Duration, Kind, Name, Score, Section, Text, Whole, refuse
from router.config.filters import OnError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        refuse(f"{VALUE} cannot be the name of a guard.", "Use letters, digits, dots and dashes: it stands in headers.")
    return value


GuardName = Annotated[str, AfterValidator(_check_name), Kind("name")]


def _listed(value: Any) -> Any:
    """Labels without thresholds of their own may be listed."""
    if isinstance(value, list) and all(isinstance(label, str) for label in value):
        return dict.fromkeys(value)
    return value


Labels = Annotated[
    dict[Name, Score | None], BeforeValidator(_listed), Kind("label → score, or a list of labels"), Field(min_length=1)
]


class AllowedTopic(Section):
    """Something that users may ask about."""

    name: Name = Field(description="Name of the topic.")
    description: Text = Field(description="What belongs to it, in plain language: the orchestrator decides by it.")


class TopicGuard(Section):
    """Finds newest user messages that are about none of the topics."""

    allow: tuple[AllowedTopic, ...] = Field(min_length=1, description="The topics that are allowed.")
    threshold: Score | None = Field(
        default=None, description="Score from which a message belongs to a topic. Default: the orchestrator's own."
    )
    model: Name = Field(
        default="orchestrator", description="The orchestrator on Triton that is asked; it has to score routes."
    )


class SizeGuard(Section):
    """Finds requests that are too large."""

    chars: Whole | None = Field(default=None, ge=1, description="Most characters of text within the guard's scope.")
    messages: Whole | None = Field(default=None, ge=1, description="Most messages of the conversation.")


class StreamWindows(Section):
    """How a streamed answer is held back until it was judged."""

    window: Literal["sentence", "chars"] = Field(
        default="sentence",
        description="`sentence`: text goes out sentence by sentence, or once it is `window_chars` long; `chars`: only "
        "the latter.",
    )
    window_chars: Whole = Field(default=200, ge=20, le=4000, description="Most characters that are held back.")
    max_wait: Duration = Field(
        default=1.0, description="What has been held back for so long is judged, even in the middle of a sentence."
    )


class Guardrail(Section):
    """One check. It has a `model`, a `topic` or a `max`."""

    name: GuardName = Field(description="Name of the guard; clients see it in `x-trident-guard`.")
    model: Name | None = Field(default=None, description="Classifier in the model repository.")
    labels: Labels | None = Field(
        default=None,
        description="Labels of the model that count, with the score from which each does. Default: all but `benign` "
        "and `safe`, with the model's own thresholds.",
    )
    threshold: Score | None = Field(
        default=None,
        description="Score from which labels without one of their own count; together, where the model also has "
        "`benign` or `safe`. Default: the model's own.",
    )
    topic: TopicGuard | None = Field(default=None, description="What users may ask about. Only on requests.")
    max: SizeGuard | None = Field(default=None, description="How large requests may be. Only on requests.")
    listeners: tuple[Name, ...] = Field(default=(), description="Listeners that it guards. Default: all of them.")
    direction: Literal["input", "output", "both"] = Field(
        default="input", description="Whether requests, answers or both are judged."
    )
    scope: Literal["newest_user", "conversation", "tool_results", "all"] = Field(
        default="conversation",
        description="What is judged of a request: the `newest_user` message, the `conversation` (users, tools and "
        "calls of tools), `tool_results` and documents only, or `all` of it, system prompt and earlier answers too.",
    )
    action: Literal["block", "redact", "annotate", "route"] = Field(
        default="block",
        description="What happens to what it finds: the request or answer is refused, the text is replaced, a header "
        "says so, or the request goes to `route`.",
    )
    route: Name | None = Field(default=None, description="Agent or model that `action: route` sends requests to.")
    message: Text = Field(default="I can't help with that request.", description="What a refused client reads.")
    placeholder: Text = Field(default="[redacted]", description="What `redact` puts in the place of a text.")
    on_block: Literal["answer", "error"] = Field(
        default="answer",
        description="Whether who is refused gets an answer with the finish reason `content_filter`, or an error 400.",
    )
    reveal_score: bool = Field(default=False, description="Whether clients see scores, in `x-trident-guard-score`.")
    shadow: bool = Field(default=False, description="Whether it only counts what it would have done.")
    on_error: OnError = Field(default="deny", description="What happens while the model cannot be asked.")
    unseen: OnError = Field(
        default="allow",
        description="What happens to requests with pictures, sound, binary files or references to stored content, "
        "which a text model cannot judge. What is let through is named in `x-trident-guard-unseen`.",
    )
    timeout: Duration = Field(default=10.0, description="Longest wait for a verdict; long texts get more.")
    stream: StreamWindows = Field(default=StreamWindows(), description="How streamed answers are held back.")
