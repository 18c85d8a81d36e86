"""Answers to clients: a canonical completion as a response object.

Reference: https://platform.openai.com/docs/api-reference/responses/object. The object repeats what the client asked
for, as the API does, from its own body where that is still at hand and from the canonical request where it is not.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from router.dialects.canonical import ChatRequest, JsonObject, encode_answer, usage_of
from router.dialects.openai_responses.message_items import message_id
from router.dialects.openai_responses.provider_request import encode_fields
from router.dialects.openai_responses.reasoning import encode_reasoning
from router.errors import InvalidRequest

# What a response repeats, with the API's defaults.
_REPEATED: Mapping[str, object] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_NESTED = ("reasoning", "text")
# Why an answer stopped short, by finish reason.
_INCOMPLETE: Mapping[object, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_id(completion_id: object) -> str:
    """The id of the response that a completion becomes: its own where it has been a response before."""
    if isinstance(completion_id, str) and completion_id.startswith("resp_"):
        return completion_id
    return f"resp_{uuid.uuid4().hex}"


def begun(request: ChatRequest, source: Mapping[str, Any]) -> JsonObject:
    """The response as it is before its output; ``source`` is a completion, or the first chunk of a stream."""
    created = source.get("created")
    model = source.get("model")
    response: JsonObject = {
        "id": response_id(source.get("id")),
        "object": "response",
        "created_at": created if isinstance(created, int) else int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model if isinstance(model, str) and model else request.model or "",
        "output": [],
        "usage": None,
    }
    asked = _asked(request)
    for name, default in _REPEATED.items():
        value = asked.get(name)
        response[name] = default if value is None else value
    for name in _NESTED:
        if isinstance(response[name], dict):
            response[name] = {**_default(name), **response[name]}
    if isinstance(source.get("service_tier"), str):
        response["service_tier"] = source["service_tier"]
    return response


def _default(name: str) -> JsonObject:
    default = _REPEATED[name]
    return default if isinstance(default, dict) else {}


def _asked(request: ChatRequest) -> Mapping[str, Any]:
    if request.native is not None:
        return request.native
    try:
        return encode_fields(request.payload)
    except InvalidRequest:  # a filter made something else of it, which a provider has answered nevertheless
        return {}


def ended(
    response: JsonObject, output: Sequence[JsonObject], *, finish_reason: object, usage: object
) -> tuple[str, JsonObject]:
    """The response with its output, and how it ended: ``completed`` or ``incomplete``."""
    reason = _INCOMPLETE.get(finish_reason) if isinstance(finish_reason, str) else None
    status = "incomplete" if reason else "completed"
    return status, {
        **response,
        "status": status,
        "completed_at": None if reason else int(time.time()),
        "incomplete_details": {"reason": reason} if reason else None,
        "output": list(output),
        "usage": usage_object(usage),
    }


def usage_object(usage: object) -> JsonObject | None:
    """A canonical ``usage`` object in the words of this API."""
    counted = usage_of(usage)
    if counted is None:
        return None
    return {
        "input_tokens": counted.input,
        "input_tokens_details": {"cached_tokens": counted.cached, "cache_write_tokens": counted.cache_write},
        "output_tokens": counted.output,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning},
        "total_tokens": counted.total,
    }


def encode_completion(completion: JsonObject, request: ChatRequest) -> bytes:
    """The whole answer to ``request``."""
    choice = completion["choices"][0]
    message = choice.get("message") if isinstance(choice.get("message"), dict) else {}
    output = output_items(message, choice.get("logprobs"))
    finish_reason = choice.get("finish_reason")
    status, response = ended(
        begun(request, completion), output, finish_reason=finish_reason, usage=completion.get("usage")
    )
    sealed = output[-1]["type"] == "reasoning" and message.get("thinking_blocks")
    if status == "incomplete" and not sealed:
        output[-1]["status"] = "incomplete"
    return encode_answer(response)


def output_items(message: Mapping[str, Any], logprobs: object) -> list[JsonObject]:
    """The items of a whole message, in the order in which a model makes them; never none at all."""
    items = encode_reasoning(
        message.get("thinking_blocks"), message.get("reasoning_content") or message.get("reasoning")
    )
    calls = message.get("tool_calls")
    called = [call_item(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    content = []
    if text := spoken_text(message.get("content")):
        content.append(text_part(text, annotated(message.get("annotations")), token_logprobs(logprobs)))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        content.append(refusal_part(message["refusal"]))
    if content or not (items or called):
        items.append(message_item(message_id(), content or [text_part("")], status="completed"))
    return items + called


def spoken_text(content: object) -> str:
    """The text of an answer; some servers send it in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def message_item(id_: str, content: list[JsonObject], *, status: str) -> JsonObject:
    """A message of the model's."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(text: str, annotations: Sequence[JsonObject] = (), logprobs: Sequence[JsonObject] = ()) -> JsonObject:
    """Text in a message."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": list(logprobs)}


def refusal_part(refusal: str) -> JsonObject:
    """A refusal in a message."""
    return {"type": "refusal", "refusal": refusal}


def call_item(call: Mapping[str, Any]) -> JsonObject:
    """A function call; arguments that a server sends as an object become JSON."""
    function = call.get("function")
    known = function if isinstance(function, dict) else {}
    arguments = known.get("arguments")
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else encode_answer(arguments).decode()
    return {
        "id": call_item_id(),
        "type": "function_call",
        "status": "completed",
        "call_id": str(call.get("id") or call_id()),
        "name": str(known.get("name") or ""),
        "arguments": arguments,
    }


def call_item_id() -> str:
    """An id for a function call item, which is not the id of the call."""
    return f"fc_{uuid.uuid4().hex}"


def call_id() -> str:
    """An id for a call whose server gave it none."""
    return f"call_{uuid.uuid4().hex}"


def annotated(canonical: object) -> list[JsonObject]:
    """Citations of web pages, which both APIs know; this one writes them flat."""
    if not isinstance(canonical, list):
        return []
    cited = [entry.get("url_citation") for entry in canonical if isinstance(entry, dict)]
    return [{"type": "url_citation", **fields} for fields in cited if isinstance(fields, dict)]


def token_logprobs(logprobs: object) -> list[JsonObject]:
    """The log probabilities of a choice's text, with the bytes of each token, which are optional there only."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list):
        return []
    return [
        {**_with_bytes(token), "top_logprobs": [_with_bytes(top) for top in _objects(token.get("top_logprobs"))]}
        for token in _objects(tokens)
    ]


def _with_bytes(token: JsonObject) -> JsonObject:
    if isinstance(token.get("bytes"), list):
        return token
    return {**token, "bytes": list(str(token.get("token") or "").encode())}


def _objects(values: object) -> list[JsonObject]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
