"""Amazon Bedrock's Converse, with its binary event stream.

Reference: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, and botocore's model of
the service, against which requests are checked.
"""

from __future__ import annotations

import binascii
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.loaders import Loader  # type: ignore[import-untyped]
from botocore.model import ServiceModel, Shape  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]

from tests.fakes.http_exchange import RecordedRequest
from tests.fakes.providers.answers import (
    Answer,
    Failure,
    Refusal,
    Text,
    Thinking,
    Tokens,
    ToolCall,
    pieces,
    signature_of,
    slices,
)
from tests.fakes.providers.checks import (
    TOOL_USE_ID,
    payload_of,
    require,
    require_base64,
    require_range,
    require_tool_names,
)
from tests.fakes.providers.server import Refused
from tests.fakes.providers.sigv4 import Credentials, signed_by

_SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")
_REQUEST = _SERVICE.operation_model("Converse").input_shape
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "refusal": "content_filtered"}
_ERROR_TYPES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


class ConverseApi:
    """``POST /model/{id}/converse`` and ``/converse-stream`` with a bearer token, or signed by ``credentials``."""

    stream_type = "application/vnd.amazon.eventstream"

    def __init__(self, key: str, *, credentials: Credentials | None = None) -> None:
        self.key = key
        self._credentials = credentials

    def check(self, request: RecordedRequest) -> None:
        model, _ = _operation(request)
        signed = self._credentials is not None and signed_by(self._credentials, request, "bedrock")
        if not signed and request.headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(403, "The security token included in the request is invalid.")
        payload = payload_of(request)
        _check_shape(payload, model)
        inference = payload.get("inferenceConfig", {})
        require_range(inference, "maxTokens", 1, 1 << 20)
        require_range(inference, "temperature", 0, 1)
        require_range(inference, "topP", 0, 1)
        _check_tools(payload)
        for position, block in enumerate(payload.get("system", ())):
            require("text" not in block or block["text"].strip(), "is blank", f"system[{position}].text")
        _check_conversation(payload["messages"])

    def wants_stream(self, request: RecordedRequest) -> bool:
        return _operation(request)[1] == "converse-stream"

    def whole(self, answer: Answer, request: RecordedRequest) -> object:
        message = {"role": "assistant", "content": [_block(part) for part in answer.parts]}
        return {
            "output": {"message": message},
            **_stop(answer, request),
            "usage": _usage(answer.tokens),
            "metrics": {"latencyMs": 321},
        }

    def events(self, answer: Answer, request: RecordedRequest) -> list[bytes]:
        return [_message({":event-type": kind}, body) for kind, body in self._events(answer, request)]

    def failure(self, failure: Failure) -> tuple[object, Mapping[str, str]]:
        kind = _ERROR_TYPES.get(failure.status, "InternalServerException")
        return {"message": failure.message}, {"x-amzn-errortype": kind, "x-amzn-requestid": "req-fake"}

    def stream_failure(self, message: str) -> bytes:
        headers = {":exception-type": "throttlingException"}
        return _message(headers, {"message": message}, kind="exception")

    def _events(self, answer: Answer, request: RecordedRequest) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "messageStart", {"role": "assistant"}
        for index, part in enumerate(answer.parts):
            if isinstance(part, ToolCall):
                start = {"toolUse": {"toolUseId": part.id, "name": part.name}}
                yield "contentBlockStart", {"start": start, "contentBlockIndex": index}
            for delta in _deltas(part):
                yield "contentBlockDelta", {"delta": delta, "contentBlockIndex": index}
            yield "contentBlockStop", {"contentBlockIndex": index}
        yield "messageStop", _stop(answer, request)
        yield "metadata", {"usage": _usage(answer.tokens), "metrics": {"latencyMs": 321}}


def _operation(request: RecordedRequest) -> tuple[str, str]:
    parts = urlsplit(request.path).path.split("/")
    if len(parts) != 4 or parts[1] != "model" or parts[3] not in {"converse", "converse-stream"}:
        raise Refused(404, f"UnknownOperationException: {request.path}")
    return unquote(parts[2]), parts[3]


def _check_shape(payload: dict[str, Any], model: str) -> None:
    require("modelId" not in payload, "belongs into the path", "modelId")
    report = ParamValidator().validate({**payload, "modelId": model}, _REQUEST)
    require(not report.has_errors(), report.generate_report())
    for path, value in _wrong_enums(payload, _REQUEST, ""):
        raise Refused(400, f"{path}: '{value}' is not one of the allowed values", path)


def _wrong_enums(value: Any, shape: Shape, path: str) -> Iterator[tuple[str, str]]:
    """Strings outside of their closed sets, which botocore leaves to the service."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, member in value.items():
            yield from _wrong_enums(member, shape.members[name], f"{path}.{name}" if path else name)
    elif shape.type_name == "list":
        for position, member in enumerate(value):
            yield from _wrong_enums(member, shape.member, f"{path}[{position}]")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield path, value


def _check_tools(payload: Mapping[str, Any]) -> None:
    config = payload.get("toolConfig")
    used = [
        block
        for message in payload["messages"]
        for block in message["content"]
        if {"toolUse", "toolResult"} & set(block)
    ]
    require(config or not used, "must be defined when using toolUse and toolResult content blocks", "toolConfig")
    specs = [tool["toolSpec"] for tool in (config or {}).get("tools", ()) if "toolSpec" in tool]
    names = [spec["name"] for spec in specs]
    require_tool_names(names, "toolConfig.tools")
    for spec in specs:
        schema = spec["inputSchema"].get("json")
        is_object = isinstance(schema, dict) and schema.get("type") == "object"
        require(is_object, "must be a JSON schema of type object", f"toolConfig.tools.{spec['name']}.inputSchema.json")
    chosen = (config or {}).get("toolChoice", {}).get("tool")
    require(chosen is None or chosen["name"] in names, "not one of the tools", "toolConfig.toolChoice.tool.name")


def _check_conversation(messages: list[dict[str, Any]]) -> None:
    require(messages, "must not be empty", "messages")
    require(messages[0]["role"] == "user", "a conversation must start with a user message", "messages[0].role")
    waiting: list[str] = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        alternates = position == 0 or message["role"] != messages[position - 1]["role"]
        require(alternates, "roles must alternate between user and assistant", f"{where}.role")
        _check_blocks(message, where)
        given = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        matched = sorted(given) == sorted(waiting)
        require(matched, f"expected toolResult blocks for the ids {waiting}, but found {given}", f"{where}.content")
        waiting = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
    require(not waiting, f"expected toolResult blocks for the ids {waiting}", "messages")


def _check_blocks(message: Mapping[str, Any], where: str) -> None:
    require(message["content"], "must not be empty", f"{where}.content")
    for position, block in enumerate(message["content"]):
        field = f"{where}.content[{position}]"
        require("text" not in block or block["text"].strip(), "is blank", f"{field}.text")
        of_assistant = {"toolUse", "reasoningContent"} & set(block)
        require(not of_assistant or message["role"] == "assistant", "only in assistant messages", field)
        require("toolResult" not in block or message["role"] == "user", "only in user messages", field)
        if "image" in block:
            require_base64(block["image"]["source"].get("bytes"), f"{field}.image.source.bytes")
        if "toolUse" in block:
            id_ = block["toolUse"]["toolUseId"]
            require(TOOL_USE_ID.fullmatch(id_), f"must match {TOOL_USE_ID.pattern}", f"{field}.toolUse.toolUseId")
        reasoning = block.get("reasoningContent", {}).get("reasoningText")
        if reasoning is not None:
            good = reasoning.get("signature") == signature_of(reasoning["text"])
            require(good, "the signature is not valid", f"{field}.reasoningContent")


def _block(part: Text | Refusal | Thinking | ToolCall) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": json.loads(part.arguments or "{}")}}
    if isinstance(part, Thinking) and part.redacted:
        return {"reasoningContent": {"redactedContent": part.signature}}
    if isinstance(part, Thinking):
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
    return {"text": part.text}


def _deltas(part: Text | Refusal | Thinking | ToolCall) -> Iterator[dict[str, Any]]:
    if isinstance(part, ToolCall):
        yield from ({"toolUse": {"input": piece}} for piece in slices(part.arguments, part.cut))
    elif isinstance(part, Thinking) and part.redacted:
        yield {"reasoningContent": {"redactedContent": part.signature}}
    elif isinstance(part, Thinking):
        yield from ({"reasoningContent": {"text": piece}} for piece in pieces(part.text))
        yield {"reasoningContent": {"signature": part.signature}}
    else:
        yield from ({"text": piece} for piece in pieces(part.text))


def _stop(answer: Answer, request: RecordedRequest) -> dict[str, Any]:
    """Why the answer ended; what stopped it only for a request that wants that field of the model's own answer."""
    stop: dict[str, Any] = {"stopReason": _STOP_REASONS.get(answer.reason, answer.reason)}
    if "/stop_sequence" in request.json.get("additionalModelResponseFieldPaths", ()):
        stop["additionalModelResponseFields"] = {"stop_sequence": answer.sequence}
    return stop


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "inputTokens": tokens.input - tokens.cached - tokens.cache_write,
        "outputTokens": tokens.output,
        "totalTokens": tokens.input + tokens.output,
        "cacheReadInputTokens": tokens.cached,
        "cacheWriteInputTokens": tokens.cache_write,
    }


def _message(headers: Mapping[str, str], payload: object, *, kind: str = "event") -> bytes:
    """One message of the event stream encoding: prelude, its CRC-32, headers, payload, CRC-32 of all of it.

    Reference: https://smithy.io/2.0/aws/amazon-eventstream.html.
    """
    fields = {**headers, ":content-type": "application/json", ":message-type": kind}
    encoded = b"".join(_header(name, value) for name, value in fields.items())
    # Bedrock pads its payloads so that their length says nothing about the tokens in them.
    body = json.dumps({**payload, "p": "abcdefghijk"} if isinstance(payload, dict) else payload).encode()
    prelude = struct.pack(">II", len(encoded) + len(body) + 16, len(encoded))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + encoded + body
    return message + struct.pack(">I", binascii.crc32(message))


def _header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
