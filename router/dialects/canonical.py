"""The canonical form that every dialect is translated to and from: the OpenAI chat completion, unknown fields kept.

Reference: https://platform.openai.com/docs/api-reference/chat. What that API has no field for is carried in fields of
ours, which the OpenAI dialect never sends to a provider that would refuse them:

field                                              meaning
message, delta ``reasoning_content`` (str)         the text of the model's reasoning
message, delta ``thinking_blocks`` (list)          reasoning that has to come back as it was: ``{"type": "thinking",
                                                   "thinking", "signature"}``, ``{"type": "redacted_thinking", "data"}``
                                                   or ``{"type": "reasoning", ...}``, a Responses item
``prompt_tokens_details.cache_write_tokens`` (int) input tokens that were written to the provider's prompt cache
message, delta ``citations`` (list)                Anthropic's citations of the text
message, delta ``native_blocks`` (list)            blocks of an Anthropic answer that nothing else has a word for, such
                                                   as those of server tools
choice ``native_finish_reason`` (str)              the provider's own word where ``finish_reason`` says less
choice ``stop_reason`` (str)                       the stop sequence that ended the text, as vLLM names it
any message, part, tool, call ``cache_control``    Anthropic's marker for prompt caching
any part, tool, tool call ``anthropic`` (object)   what the client wrote, where that says more than the translation
tool message ``is_error`` (bool)                   the tool failed
tool message, content parts that are no text       images and files that a tool gave back
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import ConfigDict, with_config
from typing_extensions import NotRequired, TypedDict

from router.errors import InvalidRequest, UpstreamProtocolError

JsonObject: TypeAlias = dict[str, Any]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]
DialectName: TypeAlias = Literal["openai_chat", "anthropic_messages", "openai_responses", "bedrock_converse"]

_KEEP_UNKNOWN = ConfigDict(extra="allow", strict=True)
# Fields that mean the same in every dialect of a client, so that changing them leaves a native body usable.
_SHARED_FIELDS = frozenset({"model", "stream"})
# What a choice says about how its answer ended.
_ENDING_FIELDS = ("finish_reason", "native_finish_reason", "stop_reason")


@with_config(_KEEP_UNKNOWN)
class ContentPart(TypedDict):
    """One part of a message; ``text`` is there when ``type`` is ``text``."""

    type: str
    text: NotRequired[str]


@with_config(_KEEP_UNKNOWN)
class Message(TypedDict):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: NotRequired[str | list[ContentPart] | None]
    name: NotRequired[str | None]


class ChatRequest:
    """A request in canonical form, beside the body that it came in.

    ``dialect`` is the one that the client speaks, and wants its answer in. The body in that dialect (``native``) stays
    as long as nothing but ``model`` and ``stream`` is changed, so that a provider of the same dialect gets what the
    client wrote; in the OpenAI dialect the two forms are one.

    ``untranslated`` names what the client sent that the canonical form has no place for and that only advises, such as
    cache markers; clients read it in ``x-trident-untranslated`` when the provider speaks another dialect.

    ``refused`` names what has no place in the canonical form and cannot be left out: only a provider of the client's
    own dialect can serve such a request (``require_translatable``). ``extras`` are the top-level fields among the two,
    for a provider of that dialect that gets the rest translated because something was changed.
    """

    __slots__ = ("_native", "_payload", "_raw", "dialect", "extras", "refused", "untranslated")

    def __init__(
        self,
        payload: JsonObject,
        raw: bytes | None = None,
        *,
        dialect: DialectName = "openai_chat",
        native: JsonObject | None = None,
        untranslated: Sequence[str] = (),
        refused: Sequence[str] = (),
        extras: Mapping[str, Any] | None = None,
    ) -> None:
        self._payload = payload
        self._raw = raw
        self.dialect = dialect
        self._native = payload if dialect == "openai_chat" else native
        self.untranslated = tuple(untranslated)
        self.refused = tuple(refused)
        self.extras: Mapping[str, Any] = extras or {}

    @property
    def payload(self) -> Mapping[str, Any]:
        """The canonical body; not to be changed."""
        return self._payload

    @property
    def native(self) -> Mapping[str, Any] | None:
        """The body in the client's dialect, ``None`` where it is lost; not to be changed."""
        return self._native

    @property
    def messages(self) -> list[Message]:
        messages: list[Message] = self._payload["messages"]
        return messages

    @property
    def model(self) -> str | None:
        return self._payload.get("model") or None

    @property
    def stream(self) -> bool:
        return bool(self._payload.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether a stream in the OpenAI dialect is to end with a chunk that counts tokens."""
        options = self._payload.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))

    def replace(self, *, drop: Iterable[str] = (), **fields: object) -> ChatRequest:
        """A copy with ``fields`` set and those in ``drop`` removed; this request stays as it is."""
        payload = {**self._payload, **fields}
        dropped = tuple(drop)
        for name in dropped:
            payload.pop(name, None)
        native = None
        if self._native is not None and not dropped and fields.keys() <= _SHARED_FIELDS:
            native = {**self._native, **fields}
        return ChatRequest(
            payload,
            dialect=self.dialect,
            native=native,
            untranslated=self.untranslated,
            refused=self.refused,
            extras=self.extras,
        )

    def require_translatable(self, provider: DialectName) -> None:
        """Raises ``InvalidRequest`` that names the first field which ``provider``, another dialect, has no word for."""
        if self.refused:
            raise untranslatable(self.refused[0], provider)

    def native_body(self) -> bytes | None:
        """The request in the client's own dialect: as received where nothing was changed, ``None`` where it is lost."""
        if self._native is None:
            return None
        if self._raw is None:
            self._raw = encode_json(self._native)
        return self._raw


def untranslatable(field: str, provider: DialectName) -> InvalidRequest:
    """The error for a request's ``field`` that means something and has no counterpart in the provider's dialect."""
    return InvalidRequest(f"'{field}' cannot be translated for this provider ({provider}).", param=field)


def encode_json(payload: object) -> bytes:
    """``payload`` as JSON. Raises ``InvalidRequest`` for what JSON cannot say."""
    try:
        return orjson.dumps(payload)
    except (TypeError, orjson.JSONEncodeError) as exc:
        raise InvalidRequest(f"The request cannot be passed on: {exc}.") from exc


def encode_answer(payload: object) -> bytes:
    """An answer as JSON. Raises ``UpstreamProtocolError`` for what JSON cannot say, such as endless nesting."""
    try:
        return orjson.dumps(payload)
    except (TypeError, orjson.JSONEncodeError) as exc:
        raise UpstreamProtocolError("The answer cannot be passed on.") from exc


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer: ``cached`` and ``cache_write`` are part of ``input``, ``reasoning`` of ``output``."""

    input: int
    output: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


def usage_of(usage: object) -> Usage | None:
    """The tokens that a canonical ``usage`` object counts; ``None`` where there is none."""
    if not isinstance(usage, dict):
        return None
    read = _details(usage.get("prompt_tokens_details"))
    written = _details(usage.get("completion_tokens_details"))
    return Usage(
        input=_count(usage.get("prompt_tokens")),
        output=_count(usage.get("completion_tokens")),
        cached=_count(read.get("cached_tokens")),
        cache_write=_count(read.get("cache_write_tokens")),
        reasoning=_count(written.get("reasoning_tokens")),
    )


def usage_payload(usage: Usage) -> JsonObject:
    """The canonical ``usage`` object."""
    read: JsonObject = {"cached_tokens": usage.cached}
    if usage.cache_write:
        read["cache_write_tokens"] = usage.cache_write
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": read,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _details(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a message: its string content, or its text parts joined by line ends. Other parts have no text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def completion_text(completion: Mapping[str, Any]) -> str:
    """The assistant text of a whole completion's first choice."""
    return message_text(completion["choices"][0].get("message") or {})


def completion_id() -> str:
    """An id for a completion that the gateway makes itself."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def completion(
    message: Mapping[str, Any],
    *,
    model: str,
    finish_reason: str = "stop",
    id_: str | None = None,
    usage: Usage | None = None,
    **extra: object,
) -> JsonObject:
    """A whole completion with one message; ``extra`` fields are added at the top level."""
    return {
        "id": id_ or completion_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "refusal": None, **message},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": usage_payload(usage or Usage(0, 0)),
        **extra,
    }


def chunk_base(model: str, *, id_: str | None = None, created: int | None = None) -> JsonObject:
    """The fields that all chunks of one stream share."""
    return {
        "id": id_ or completion_id(),
        "object": "chat.completion.chunk",
        "created": int(time.time()) if created is None else created,
        "model": model,
    }


def chunk(delta: Mapping[str, object], *, base: Mapping[str, object], finish_reason: str | None = None) -> JsonObject:
    """One chunk; ``base`` is what ``chunk_base`` gave."""
    return {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}


def usage_chunk(usage: Usage, *, base: Mapping[str, object]) -> JsonObject:
    """The chunk that counts tokens, the last one of a stream: it has no choices."""
    return {**base, "choices": [], "usage": usage_payload(usage)}


def chunks_of(whole: Mapping[str, Any]) -> list[JsonObject]:
    """The chunks of a stream that says the same as a whole completion."""
    base = chunk_base(str(whole.get("model") or ""), id_=whole.get("id"), created=whole.get("created"))
    chunks = []
    for choice in whole["choices"]:
        index = choice.get("index", 0)
        message = {name: value for name, value in (choice.get("message") or {}).items() if value is not None}
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [{"index": position, **call} for position, call in enumerate(calls)]
        first = {"index": index, "delta": {"role": "assistant", **message}, "finish_reason": None}
        ending = {name: choice[name] for name in _ENDING_FIELDS if choice.get(name) is not None}
        last = {"index": index, "delta": {}, "finish_reason": "stop", **ending}
        chunks += [{**base, "choices": [first]}, {**base, "choices": [last]}]
    if whole.get("usage"):
        chunks.append({**base, "choices": [], "usage": whole["usage"]})
    return chunks


class CompletionAssembler:
    """Builds the whole completion out of the chunks of a stream (first choice only)."""

    def __init__(self) -> None:
        self._head: JsonObject = {}
        self._texts: dict[str, list[str]] = {}
        self._lists: dict[str, list[Any]] = {}
        self._tool_calls: dict[int, JsonObject] = {}
        self._ending: JsonObject = {}
        self._usage: JsonObject | None = None

    def add(self, piece: Mapping[str, Any]) -> str:
        """Take one chunk; give back the assistant text in it."""
        self._head = self._head or dict(piece)
        self._usage = piece.get("usage") or self._usage
        text = ""
        for choice in piece.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            if choice.get("finish_reason"):
                self._ending = {name: choice[name] for name in _ENDING_FIELDS if choice.get(name) is not None}
            delta = choice.get("delta") or {}
            content = delta.get("content")
            text += content if isinstance(content, str) else ""
            self._add_delta(delta)
        return text

    def completion(self) -> JsonObject:
        """The completion that the chunks so far amount to."""
        message: JsonObject = {"role": "assistant", "content": None, "refusal": None}
        message.update((name, "".join(parts)) for name, parts in self._texts.items() if parts)
        message.update(self._lists)
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[index] for index in sorted(self._tool_calls)]
        whole: JsonObject = {
            "id": self._head.get("id") or completion_id(),
            "object": "chat.completion",
            "created": self._head.get("created") or int(time.time()),
            "model": self._head.get("model") or "",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", **self._ending}],
        }
        if self._usage:
            whole["usage"] = self._usage
        return whole

    def _add_delta(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if name == "tool_calls":
                self._add_tool_calls(value or ())
            elif isinstance(value, str) and name != "role":
                self._texts.setdefault(name, []).append(value)
            elif isinstance(value, list):
                self._lists.setdefault(name, []).extend(value)

    def _add_tool_calls(self, calls: Iterable[JsonObject]) -> None:
        for call in calls:
            known = self._tool_calls.setdefault(
                call.get("index", 0), {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
            )
            known["id"] = call.get("id") or known["id"]
            function = call.get("function") or {}
            known["function"]["name"] += function.get("name") or ""
            known["function"]["arguments"] += function.get("arguments") or ""
