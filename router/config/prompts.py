"""``prompt_targets`` and ``endpoints``: natural language to API calls."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from router.config.fields import Duration, Headers, HostPort, Kind, Name, Section, Text

Scalar = Annotated[str | int | float | bool, Kind("text, number, `true` or `false`")]


class Endpoint(Section):
    """A service that prompt targets call."""

    endpoint: HostPort = Field(description="Host, with or without a port.")
    connect_timeout: Duration = Field(default=5.0, description="Longest wait for a connection.")
    protocol: Literal["http", "https"] = Field(default="http", description="How it is called.")
    http_host: Text | None = Field(default=None, description="`Host` header to send. Default: the host.")


class EndpointCall(Section):
    """A call to an endpoint."""

    name: Name = Field(description="The endpoint's name in `endpoints`.")
    path: Text = Field(default="/", description="Path of the call; `{parameter}` stands for a parameter's value.")
    http_method: Literal["GET", "POST", "PUT", "DELETE"] = Field(
        default="GET", description="`GET` sends the parameters as a query, the others as JSON."
    )
    http_headers: Headers = Field(default_factory=dict, repr=False, description="Headers to send along.")


class Parameter(Section):
    """A value that is taken from the conversation."""

    name: Name = Field(description="Name of the parameter.")
    description: Text = Field(description="What it means, in plain language.")
    type: Literal[
        "string",
        "str",
        "text",
        "integer",
        "int",
        "number",
        "float",
        "boolean",
        "bool",
        "array",
        "list",
        "object",
        "dict",
    ] = Field(description="Type of the value.")
    required: bool = Field(default=False, description="Whether the user is asked for it when it is missing.")
    default: Scalar | None = Field(default=None, description="Value when the user gives none.")
    enum: tuple[Scalar, ...] | None = Field(default=None, min_length=1, description="The values that are allowed.")
    in_path: bool = Field(default=False, description="Whether it fills `{name}` in the endpoint's path.")
    format: Text | None = Field(default=None, description="How it is written, as in `City, State`.")


class PromptTarget(Section):
    """An API that users call in natural language."""

    name: Name = Field(description="Name of the target.")
    description: Text = Field(description="What it does, in plain language: it is chosen by this.")
    default: bool = Field(default=False, description="Whether it serves what fits no other target.")
    parameters: tuple[Parameter, ...] = Field(default=(), description="What is taken from the conversation.")
    endpoint: EndpointCall | None = Field(default=None, description="The call to make.")
    system_prompt: Text | None = Field(default=None, description="Replaces the global `system_prompt`.")
    auto_llm_dispatch_on_response: bool = Field(
        default=True, description="Whether a model turns the API's answer into text; else it is the answer."
    )


class ErrorTarget(Section):
    """Who is told about failed calls."""

    endpoint: EndpointCall = Field(description="The call to make.")
