"""``filters``: services, patterns and classifiers that look at requests and answers on their way."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import re2  # type: ignore[import-untyped]  # Google's own binding has no annotations
from pydantic import AfterValidator, Field, StringConstraints

from router.config.fields import (
    VALUE,
    Duration,
    HeaderName,
    Headers,
    Kind,
    Name,
    Score,
    Section,
    Size,
    Text,
    Url,
    Whole,
    refuse,
)
from router.config.memory import MemorySettings
from router.config.pii import PiiSettings

FilterType = Literal["mcp", "http", "guardrail", "regex", "header", "pii", "memory", "python"]
OnError = Literal["deny", "allow"]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

# Where clients put their credentials; in lower case.
CREDENTIAL_HEADERS = frozenset(
    {"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"}
)

_PYTHON_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|[A-Za-z0-9][\w.-]*")

_ANY_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")


def _check_python(value: str) -> str:
    if not _PYTHON_NAME.fullmatch(value):
        refuse(f"{VALUE} does not name a filter.", "Write `package.module:Class`, or the name of an installed filter.")
    return value


def _check_pattern(value: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        found = next(re2.compile(value, options).finditer("a b"), None)
    except re2.error as exc:
        reason = exc.args[0].decode("utf-8", "replace").partition(":")[0]
        refuse(f"{VALUE} cannot be searched for: {reason}.", "The syntax is RE2's: no look-around, no back-references.")
    if found is not None and found.start() == found.end():
        refuse(f"{VALUE} matches the empty text, and so every text.", "Let it match one character at least.")
    if _ANY_BYTE.search(value):
        refuse(f"{VALUE} matches single bytes.", r"Write `(?s:.)` in the place of `\C`.")
    return value


PythonName = Annotated[str, AfterValidator(_check_python), Kind("`package.module:Class` or name")]
Pattern = Annotated[
    str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_check_pattern), Kind("pattern")
]


class FilterCondition(Section):
    """Which requests a filter is for. All that is said has to be true; what is not said does not matter."""

    roles: tuple[Role, ...] = Field(default=(), description="The newest message is of one of these roles.")
    models: tuple[Name, ...] = Field(
        default=(), description="The request names one of these models; `*` stands for anything, as in `openai/*`."
    )
    agents: tuple[Name, ...] = Field(
        default=(),
        description="One of these agents answers. Input filters of a listener run before that is decided, and so for "
        "every agent.",
    )
    paths: tuple[Name, ...] = Field(
        default=(), description="The request came to one of these paths, such as `/v1/messages`; `*` as in `models`."
    )


class FilterPattern(Section):
    """A pattern of a `regex` filter."""

    name: Name = Field(description="What it is called in messages and in its replacement.")
    pattern: Pattern = Field(
        description="What is looked for, in RE2's syntax; `(?i)` in front ignores case. There is no look-around and no "
        "back-reference."
    )
    action: Literal["redact", "block"] = Field(
        default="redact", description="`redact` replaces what is found, `block` refuses the request or ends the answer."
    )
    replacement: str | None = Field(
        default=None, description="What stands in the place of what is found. Default: the name in brackets."
    )
    message: Text | None = Field(default=None, description="What the client reads when it is blocked.")
    direction: Literal["input", "output", "both"] = Field(
        default="both", description="Whether requests, answers or both are searched, where the filter is listed for it."
    )


class Filter(Section):
    """One filter, referred to by `input_filters` and `output_filters`."""

    id: Name = Field(description="Name of the filter; shares one namespace with the agents.")
    type: FilterType = Field(
        default="mcp",
        description="`mcp`: a tool of an MCP server; `http`: a service that gets the body; `guardrail`: a classifier "
        "on Triton; `regex`: patterns; `header`: headers; `pii`: personal data; `memory`: what "
        "users said before; `python`: a class of your own.",
    )
    url: Url | None = Field(default=None, description="Where the service listens. Needed by `mcp` and `http`.")
    transport: Literal["streamable-http"] = Field(default="streamable-http", description="MCP transport.")
    tool: Name | None = Field(default=None, description="MCP tool to call. Default: the `id`.")
    model: Name | None = Field(default=None, description="Classifier in the model repository. Needed by `guardrail`.")
    threshold: Score | None = Field(
        default=None, description="Score from which a `guardrail` blocks. Default: the model's own."
    )
    message: Text | None = Field(default=None, description="What the client reads when a `guardrail` blocks.")
    patterns: tuple[FilterPattern, ...] = Field(
        default=(), description="What a `regex` filter looks for, one after the other. Needed by `regex`."
    )
    max_match_bytes: Whole = Field(
        default=16384,
        ge=1,
        le=1048576,
        description="Longest match that a `regex` filter waits for in a stream; a text that could be the beginning of "
        "a longer one is a failure of the filter.",
    )
    set: Headers = Field(
        default_factory=dict,
        repr=False,
        description="Headers that a `header` filter sends to whoever answers; values may be credentials, as `$VAR`.",
    )
    forward: tuple[HeaderName, ...] = Field(
        default=(), description="Headers of the client that a `header` filter lets through to whoever answers."
    )
    remove: tuple[HeaderName, ...] = Field(
        default=(), description="Headers that a `header` filter keeps from whoever answers."
    )
    require: tuple[HeaderName, ...] = Field(
        default=(), description="Headers without which a `header` filter refuses a request with 400."
    )
    metadata: dict[str, HeaderName] = Field(
        default_factory=dict,
        description="What a `header` filter copies from headers of the client into the `metadata` of the body.",
    )
    pii: PiiSettings = Field(default=PiiSettings(), description="What a `pii` filter finds and does.")
    memory: MemorySettings = Field(
        default=MemorySettings(), description="What a `memory` filter recalls, and what it keeps."
    )
    python: PythonName | None = Field(
        default=None,
        description="The class of a `python` filter as `package.module:Class`, or the name of an installed one (entry "
        "point `trident.filters`). Needed by `python`.",
    )
    options: Annotated[dict[str, Any], Kind("name → anything")] = Field(
        default_factory=dict, repr=False, description="What the class of a `python` filter is given."
    )
    timeout: Duration = Field(default=5.0, description="Longest wait for the filter's verdict.")
    on_error: OnError = Field(
        default="deny", description="What happens to the request when the filter fails or is too slow."
    )
    when: FilterCondition | None = Field(default=None, description="Which requests it is for. Default: all.")
    sample: Score = Field(default=1.0, description="Share of the requests that it looks at.")
    headers: Headers = Field(
        default_factory=dict,
        repr=False,
        description="Headers to send to the service of an `mcp` or `http` filter, for example credentials as `$VAR`.",
    )
    forward_headers: tuple[HeaderName, ...] = Field(
        default=(),
        description="Headers of the client that are sent to the service of an `mcp` or `http` filter, beside those "
        "for tracing and `x-request-id`.",
    )
    forward_credentials: bool = Field(
        default=False,
        description="Whether the client's credentials are sent to the service: `Authorization`, cookies and the "
        "headers that providers take keys in. A key of the gateway's own never is.",
    )
    max_response: Size = Field(
        default=16 * 1024 * 1024, description="Longest answer of an `mcp` or `http` filter's service."
    )
