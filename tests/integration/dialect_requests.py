"""What a request that a provider got asks for, read out of each provider's dialect into the same words.

A field that a translation lost is `None` or empty here, so a test that compares sees it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.fakes.http_exchange import RecordedRequest


@dataclass
class Received:
    """``choice`` in OpenAI's words; ``results`` by call id; ``proofs``: the signatures of reasoning that came back."""

    model: str
    stream: bool
    system: str = ""
    texts: list[tuple[str, str]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    tools: dict[str, tuple[str, Any]] = field(default_factory=dict)
    choice: str | None = None
    parallel: bool | None = None
    calls: dict[str, tuple[str, Any]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    schema: Any = None
    stop: list[str] = field(default_factory=list)
    max_tokens: int | None = None
    effort: str | None = None
    proofs: list[str] = field(default_factory=list)


def received_by_chat(request: RecordedRequest) -> Received:
    """A chat completion request, OpenAI's or Azure's."""
    payload = request.json
    got = Received(payload["model"], request.wants_stream)
    for message in payload["messages"]:
        role, content = message["role"], message.get("content")
        parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        texts = [part["text"] for part in parts if part["type"] == "text"]
        got.images += [part["image_url"]["url"].partition(",")[2] for part in parts if part["type"] == "image_url"]
        if role in {"system", "developer"}:
            got.system += "".join(texts)
        elif role == "tool":
            got.results[message["tool_call_id"]] = "".join(texts)
        else:
            got.texts += [(role, text) for text in texts]
        for call in message.get("tool_calls", ()):
            function = call["function"]
            got.calls[call["id"]] = (function["name"], json.loads(function["arguments"] or "{}"))
    functions = [tool["function"] for tool in payload.get("tools", ())]
    got.tools = {each["name"]: (each.get("description", ""), each["parameters"]) for each in functions}
    choice = payload.get("tool_choice")
    got.choice = choice["function"]["name"] if isinstance(choice, dict) else choice
    got.parallel = payload.get("parallel_tool_calls")
    got.schema = ((payload.get("response_format") or {}).get("json_schema") or {}).get("schema")
    stop = payload.get("stop") or []
    got.stop = [stop] if isinstance(stop, str) else stop
    got.max_tokens = payload.get("max_completion_tokens", payload.get("max_tokens"))
    got.effort = payload.get("reasoning_effort")
    return got


def received_by_responses(request: RecordedRequest) -> Received:
    """A Responses request."""
    payload = request.json
    got = Received(payload["model"], request.wants_stream, system=payload.get("instructions") or "")
    given = payload["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        _read_item(item, got)
    got.tools = {each["name"]: (each.get("description", ""), each["parameters"]) for each in payload.get("tools", ())}
    choice = payload.get("tool_choice")
    got.choice = choice["name"] if isinstance(choice, dict) else choice
    got.parallel = payload.get("parallel_tool_calls")
    got.schema = ((payload.get("text") or {}).get("format") or {}).get("schema")
    got.max_tokens = payload.get("max_output_tokens")
    got.effort = (payload.get("reasoning") or {}).get("effort")
    return got


def _read_item(item: Mapping[str, Any], got: Received) -> None:
    kind = item.get("type", "message")
    if kind == "function_call":
        got.calls[item["call_id"]] = (item["name"], json.loads(item["arguments"] or "{}"))
    elif kind == "function_call_output":
        output = item["output"]
        got.results[item["call_id"]] = output if isinstance(output, str) else "".join(part["text"] for part in output)
    elif kind == "reasoning":
        got.proofs.append(item.get("encrypted_content") or item["id"])
    elif kind == "message":
        content = item["content"]
        parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
        texts = [part["text"] for part in parts if "text" in part]
        got.images += [part["image_url"].partition(",")[2] for part in parts if part["type"] == "input_image"]
        if item["role"] in {"system", "developer"}:
            got.system += "".join(texts)
        else:
            got.texts += [(item["role"], text) for text in texts]


def received_by_messages(request: RecordedRequest) -> Received:
    """An Anthropic request."""
    payload = request.json
    got = Received(payload["model"], request.wants_stream)
    system = payload.get("system") or ""
    got.system = system if isinstance(system, str) else "".join(block["text"] for block in system)
    for message in payload["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            _BLOCKS[block["type"]](block, message["role"], got)
    got.tools = {each["name"]: (each.get("description", ""), each["input_schema"]) for each in payload.get("tools", ())}
    choice = payload.get("tool_choice") or {}
    got.choice = choice.get("name") or {"any": "required"}.get(choice.get("type", ""), choice.get("type"))
    disabled = choice.get("disable_parallel_tool_use")
    got.parallel = None if disabled is None else not disabled
    got.schema = ((payload.get("output_config") or {}).get("format") or {}).get("schema")
    got.stop = payload.get("stop_sequences", [])
    got.max_tokens = payload.get("max_tokens")
    thinking = payload.get("thinking") or {}
    got.effort = thinking.get("type") if thinking.get("type") in {"enabled", "adaptive"} else None
    return got


def _read_text(block: Mapping[str, Any], role: str, got: Received) -> None:
    got.texts.append((role, block["text"]))


def _read_image(block: Mapping[str, Any], role: str, got: Received) -> None:
    got.images.append(block["source"]["data"])


def _read_use(block: Mapping[str, Any], role: str, got: Received) -> None:
    got.calls[block["id"]] = (block["name"], block["input"])


def _read_result(block: Mapping[str, Any], role: str, got: Received) -> None:
    content = block.get("content", "")
    got.results[block["tool_use_id"]] = content if isinstance(content, str) else "".join(b["text"] for b in content)


def _read_proof(block: Mapping[str, Any], role: str, got: Received) -> None:
    got.proofs.append(block.get("signature") or block["data"])


_BLOCKS: Mapping[str, Callable[[Mapping[str, Any], str, Received], None]] = {
    "text": _read_text,
    "image": _read_image,
    "tool_use": _read_use,
    "tool_result": _read_result,
    "thinking": _read_proof,
    "redacted_thinking": _read_proof,
}


def received_by_converse(request: RecordedRequest) -> Received:
    """A Bedrock Converse request."""
    payload = request.json
    parts = urlsplit(request.path).path.split("/")
    got = Received(unquote(parts[2]), parts[3] == "converse-stream")
    got.system = "".join(block["text"] for block in payload.get("system", ()))
    for message in payload["messages"]:
        for block in message["content"]:
            _read_converse_block(block, message["role"], got)
    config = payload.get("toolConfig") or {}
    specs = [tool["toolSpec"] for tool in config.get("tools", ())]
    got.tools = {each["name"]: (each.get("description", ""), each["inputSchema"]["json"]) for each in specs}
    choice = config.get("toolChoice") or {}
    for kind, value in choice.items():
        got.choice = value["name"] if kind == "tool" else {"any": "required"}.get(kind, kind)
    wanted = ((payload.get("outputConfig") or {}).get("textFormat") or {}).get("structure") or {}
    got.schema = json.loads(wanted["jsonSchema"]["schema"]) if wanted else None
    inference = payload.get("inferenceConfig") or {}
    got.stop = inference.get("stopSequences", [])
    got.max_tokens = inference.get("maxTokens")
    more = payload.get("additionalModelRequestFields") or {}  # of Claude, in its own words
    own_choice = more.get("tool_choice") or {}
    got.parallel = False if own_choice.get("disable_parallel_tool_use") else None
    thinking = more.get("thinking") or more.get("reasoning_config") or {}
    got.effort = thinking.get("type") if thinking.get("type") in {"enabled", "adaptive"} else None
    return got


def _read_converse_block(block: Mapping[str, Any], role: str, got: Received) -> None:
    if "text" in block:
        got.texts.append((role, block["text"]))
    elif "image" in block:
        got.images.append(block["image"]["source"]["bytes"])
    elif "toolUse" in block:
        use = block["toolUse"]
        got.calls[use["toolUseId"]] = (use["name"], use["input"])
    elif "toolResult" in block:
        result = block["toolResult"]
        said = [part["text"] if "text" in part else json.dumps(part["json"]) for part in result["content"]]
        got.results[result["toolUseId"]] = "".join(said)
    elif "reasoningContent" in block:
        reasoning = block["reasoningContent"]
        got.proofs.append(reasoning.get("redactedContent") or reasoning["reasoningText"]["signature"])
