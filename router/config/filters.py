"""``filters``: services and classifiers that look at requests and answers on their way."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from router.config.fields import Duration, Name, Score, Section, Text, Url

FilterType = Literal["mcp", "http", "guardrail"]
OnError = Literal["deny", "allow"]


class Filter(Section):
    """One filter, referred to by `input_filters` and `output_filters`."""

    id: Name = Field(description="Name of the filter; shares one namespace with the agents.")
    type: FilterType = Field(
        default="mcp",
        description="`mcp`: a tool of an MCP server; `http`: a service that gets the body; `guardrail`: a classifier "
        "on Triton.",
    )
    url: Url | None = Field(default=None, description="Where the service listens. Needed by `mcp` and `http`.")
    transport: Literal["streamable-http"] = Field(default="streamable-http", description="MCP transport.")
    tool: Name | None = Field(default=None, description="MCP tool to call. Default: the `id`.")
    model: Name | None = Field(default=None, description="Classifier in the model repository. Needed by `guardrail`.")
    threshold: Score | None = Field(
        default=None, description="Score from which a `guardrail` blocks. Default: the model's own."
    )
    message: Text | None = Field(default=None, description="What the client reads when a `guardrail` blocks.")
    timeout: Duration = Field(default=5.0, description="Longest wait for the filter's verdict.")
    on_error: OnError = Field(
        default="deny", description="What happens to the request when the filter fails or is too slow."
    )
    forward_credentials: bool = Field(
        default=False, description="Whether the client's `Authorization` and cookies are sent to the filter."
    )
