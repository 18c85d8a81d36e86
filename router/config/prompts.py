"""``prompt_targets`` and ``endpoints``: natural language to API calls."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from router.config.fields import (
    VALUE,
    Duration,
    Headers,
    Kind,
    Name,
    Section,
    Size,
    Text,
    Whole,
    check_host_port,
    refuse,
)

_MIB = 1024 * 1024
_PLACEHOLDER = re.compile(r"\{[^{}]+\}")


def _check_host_template(value: str) -> str:
    """A host that requests can go to, whatever its placeholders stand for."""
    if ":{" in value.replace(" ", ""):
        refuse("A parameter cannot be the port.", "Write the port as a number.")
    check_host_port(_PLACEHOLDER.sub("x", value))
    return value


HostTemplate = Annotated[str, AfterValidator(_check_host_template), Kind("host[:port]")]
Scalar = Annotated[str | int | float | bool, Kind("text, number, `true` or `false`")]


# What the values of types that have one form look like in the file.
_PLAIN_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "int": (int,),
    "number": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "bool": (bool,),
}
_TYPE_HINTS: dict[tuple[type, ...], str] = {
    (int,): "a whole number",
    (int, float): "a number",
    (bool,): "`true` or `false`",
}


class Endpoint(Section):
    """A service that prompt targets call."""

    endpoint: HostTemplate = Field(
        description="Host, with or without a port. `{parameter}` in it stands for a parameter's value: one label of "
        "the name, as in `{region}.api.example.com`, or all of it."
    )
    connect_timeout: Duration = Field(default=5.0, description="Longest wait for a connection.")
    protocol: Literal["http", "https"] = Field(default="http", description="How it is called.")
    http_host: Text | None = Field(default=None, description="`Host` header to send. Default: the host.")
    timeout: Duration = Field(default=30.0, description="Longest time for a call, further tries included.")
    max_retries: Whole = Field(
        default=2,
        ge=0,
        le=10,
        description="Further tries of a `GET` that failed in passing; others are never repeated.",
    )
    max_response_bytes: Size = Field(default=_MIB, description="Largest answer.")
    allow_private: bool = Field(
        default=False,
        description="Whether a host that a parameter has a part in may be in a private network, or on this machine.",
    )


class EndpointCall(Section):
    """A call to an endpoint."""

    name: Name = Field(description="The endpoint's name in `endpoints`.")
    path: Text = Field(default="/", description="Path of the call; `{parameter}` stands for a parameter's value.")
    http_method: Literal["GET", "POST", "PUT", "DELETE"] = Field(
        default="GET",
        description="`GET` and `DELETE` send the parameters as a query, `POST` and `PUT` as JSON.",
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
    format: Text | None = Field(
        default=None,
        description="How it is written: a format of JSON Schema such as `date` or `email`, which is checked, or plain "
        "words, as in `City, State`.",
    )

    @field_validator("enum", "default")
    @classmethod
    def _is_of_the_type(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _PLAIN_TYPES.get(str(info.data.get("type")))
        for each in value if isinstance(value, tuple) else (value,):
            if kinds is not None and each is not None and type(each) not in kinds:
                refuse(f"{VALUE} is not of the parameter's type.", f"Write {_TYPE_HINTS[kinds]}.")
        return value


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
    """Who is told about failed calls: it gets `target`, `arguments` and `error`, and may have the answer."""

    endpoint: EndpointCall = Field(description="The call to make.")
