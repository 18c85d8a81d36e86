"""How one agent or provider is called: which dialects it speaks, where, and with which headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from yarl import URL

from router.context import RequestContext
from router.dialects import openai_chat
from router.dialects.base import ProviderDialect
from router.dialects.canonical import ChatRequest
from router.upstream.http import Endpoint

_API_PATHS = ("/chat/completions", "/v1/messages", "/v1/responses")


@dataclass(frozen=True, slots=True)
class Call:
    """Where one request goes; ``headers`` are those of this request alone, such as its signature."""

    endpoint: Endpoint
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class ChatService(Protocol):
    """An agent or provider that answers conversations."""

    @property
    def name(self) -> str:
        """What clients are told when it fails."""

    @property
    def dialects(self) -> tuple[ProviderDialect, ...]:
        """What it speaks; the first one is used for clients of any other dialect."""

    @property
    def keeps_reasoning(self) -> bool:
        """Whether it gets the ``thinking_blocks`` that clients of chat completions send back: agents do."""

    def call(self, dialect: ProviderDialect, request: ChatRequest, body: bytes, context: RequestContext) -> Call:
        """Where ``body``, which is ``request`` in ``dialect``, is sent, and what stands in its head."""


@dataclass(frozen=True, slots=True)
class FixedService:
    """A service with one URL for everything, as agents are."""

    endpoint: Endpoint
    dialects: tuple[ProviderDialect, ...] = (openai_chat,)

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def keeps_reasoning(self) -> bool:
        return True

    def call(self, dialect: ProviderDialect, request: ChatRequest, body: bytes, context: RequestContext) -> Call:
        """Always the one endpoint."""
        return Call(self.endpoint)


def agent_url(url: str, path: str = openai_chat.PATH) -> URL:
    """Where an agent configured with ``url`` is called: there when it ends in a known API path, else below it."""
    base = URL(url)
    own = base.path.rstrip("/")
    if own.endswith(_API_PATHS):
        return base.with_path(own)
    return base.with_path((own if not own.endswith("/v1") else own[:-3]) + path)
