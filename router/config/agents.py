"""``agents``: the applications that requests are routed to."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from router.config.fields import Duration, Headers, Name, Section, Url

AgentDialect = Literal["openai_chat", "anthropic_messages", "openai_responses"]

# A URL that ends in one of these says itself what the agent speaks.
_DIALECT_OF_PATH: dict[str, AgentDialect] = {
    "/chat/completions": "openai_chat",
    "/v1/messages": "anthropic_messages",
    "/v1/responses": "openai_responses",
}


class Agent(Section):
    """One agent: an HTTP service that speaks an API dialect."""

    id: Name = Field(description="Name of the agent; listeners refer to it, clients see it in `x-trident-route`.")
    url: Url = Field(
        description="Where it listens. A path that ends in an API path (`/v1/chat/completions`) is called as it is; "
        "behind any other path that of the API is appended."
    )
    timeout: Duration = Field(
        default=120.0, description="Longest wait for the first byte of its answer, and again between two bytes."
    )
    headers: Headers = Field(
        default_factory=dict, repr=False, description="Headers to send along, for example credentials as `$VAR`."
    )
    dialect: AgentDialect = Field(
        default_factory=lambda known: _dialect_of_url(str(known.get("url", ""))),
        description="The API that the agent speaks. Default: the one whose path `url` ends in, else `openai_chat`.",
    )


def _dialect_of_url(url: str) -> AgentDialect:
    path = urlsplit(url).path.rstrip("/")
    return next((dialect for end, dialect in _DIALECT_OF_PATH.items() if path.endswith(end)), "openai_chat")
