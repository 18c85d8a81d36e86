"""``agents``: the applications that requests are routed to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from router.config.fields import Duration, Headers, Name, Section, Url

AgentDialect = Literal["openai_chat"]


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
    dialect: AgentDialect = Field(default="openai_chat", description="The API that the agent speaks.")
