"""What a provider service makes of a request, without sending it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from router.config import ModelProvider
from router.context import RequestContext
from router.dialects.canonical import ChatRequest, DialectName
from router.dialects.registry import PROVIDER_DIALECTS
from router.upstream.providers import ProviderService
from router.upstream.service import Call, ChatService

PAYLOAD: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
AZURE = {"base_url": "https://me.openai.azure.com"}
BEDROCK = {"region": "r"}


def provider(model: str, **fields: Any) -> ModelProvider:
    return ModelProvider(model=model, **fields)


def context(headers: Mapping[str, str] | None = None, **fields: Any) -> RequestContext:
    return RequestContext("req-1", "front", "/v1/chat/completions", headers or {}, time.monotonic() + 5, **fields)


def request(model: str = "gpt-4o", *, dialect: DialectName = "openai_chat", **fields: Any) -> ChatRequest:
    return ChatRequest({**PAYLOAD, "model": model, **fields}, dialect=dialect)


def call(
    entry: ModelProvider,
    asked: ChatRequest | None = None,
    about: RequestContext | None = None,
    *,
    dialect: DialectName | None = None,
) -> Call:
    service: ChatService = ProviderService(entry)
    spoken = PROVIDER_DIALECTS[dialect] if dialect is not None else service.dialects[0]
    return service.call(spoken, asked or request(), b"{}", about or context())


def head(made: Call) -> dict[str, str]:
    """The head of a request as it goes out: its target under ``""``, headers by name."""
    target, *lines = made.endpoint.request_head.encode(made.headers, 2).decode().split("\r\n")
    fields = [line.partition(": ") for line in lines if line]
    assert len({name for name, _, _ in fields}) == len(fields)
    return {"": target.split(" ")[1], **{name: value for name, _, value in fields}}
