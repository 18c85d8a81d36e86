"""What a listener offers as tools: prompt targets and agents, called without anybody having to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, encode_answer, encode_json, message_text
from router.errors import GatewayError, InvalidRequest
from router.functions.calls import FunctionCalls
from router.functions.planning import PlannedCall
from router.functions.rendering import from_unescaped, unescaped
from router.functions.schema import TargetSchema
from router.functions.targets import JsonValue, Target, callable_names
from router.handlers.filtered_agent import Agent
from router.handlers.reply import JSON, Reply

_MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool said. ``value`` is the same as JSON, where it is more than a text."""

    text: str
    value: JsonValue = None
    is_error: bool = False


class Tool(Protocol):
    """Something that can be called by name."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def input_schema(self) -> Mapping[str, Any]: ...

    def request(self, arguments: Mapping[str, Any]) -> ChatRequest:
        """The call as a conversation of one message, for filters and guards. Raises ``InvalidRequest``."""

    async def call(self, request: ChatRequest, context: RequestContext) -> ToolResult:
        """Make the call that ``request`` stands for, as filters and guards left it. Raises ``GatewayError``."""


class FunctionTool:
    """A prompt target with all of its arguments given."""

    def __init__(self, schema: TargetSchema, calls: FunctionCalls, *, name: str | None = None) -> None:
        self.name = name or schema.target.name
        self.description = " ".join(schema.target.description.split())
        self.input_schema = schema.json_schema
        self._schema = schema
        self._calls = calls

    def request(self, arguments: Mapping[str, Any]) -> ChatRequest:
        """The arguments as JSON, with line ends and the like as they are: a guard knows no escapes."""
        return _said(unescaped(encode_json(arguments).decode()))

    async def call(self, request: ChatRequest, context: RequestContext) -> ToolResult:
        """What the API answers; an error of it is a result."""
        try:
            arguments = from_unescaped(message_text(request.messages[-1]))
        except ValueError as exc:
            raise InvalidRequest("What the filters left of the arguments is not JSON.") from exc
        if not isinstance(arguments, dict):
            raise InvalidRequest("What the filters left of the arguments is not an object.")
        checked = self._schema.check(arguments)
        if checked.problems:
            complaints = [f"'{each.parameter.name}' {each.reason or 'is missing'}" for each in checked.problems]
            return ToolResult(f"{'; '.join(complaints)}.", is_error=True)
        result = await self._calls.make(PlannedCall(self._schema.target, checked.arguments), context)
        if result.error is not None:
            return ToolResult(result.error.message, is_error=True)
        if isinstance(result.value, str):
            return ToolResult(result.value)
        return ToolResult(encode_answer(result.value).decode(), result.value)


class AgentTool:
    """An agent that is told one message, and says its answer."""

    def __init__(self, agent: Agent, description: str, *, name: str | None = None) -> None:
        self.name = name or agent.name
        self.description = " ".join(description.split()) or f"Asks the agent '{agent.name}'."
        self.input_schema: Mapping[str, Any] = {
            "type": "object",
            "properties": {_MESSAGE: {"type": "string", "description": "What the agent is asked, in plain language."}},
            "required": [_MESSAGE],
            "additionalProperties": False,
        }
        self._agent = agent

    def request(self, arguments: Mapping[str, Any]) -> ChatRequest:
        """The message."""
        message = arguments.get(_MESSAGE)
        if not isinstance(message, str) or not message.strip():
            raise InvalidRequest(f"'{_MESSAGE}' must be a text.", param=_MESSAGE)
        return _said(message)

    async def call(self, request: ChatRequest, context: RequestContext) -> ToolResult:
        """The text of its answer."""
        return ToolResult(await self._agent.ask(request, context))


class ToolsHandler:
    """``GET /v1/tools``: the prompt targets of a listener, as chat completions want their ``tools``."""

    def __init__(self, targets: Sequence[Target], schemas: Mapping[str, TargetSchema]) -> None:
        names = callable_names(target.name for target in targets)
        tools = [
            {
                "type": "function",
                "function": {
                    "name": names[target.name],
                    "description": " ".join(target.description.split()),
                    "parameters": schemas[target.name].json_schema,
                },
            }
            for target in targets
        ]
        self._body = orjson.dumps({"object": "list", "data": tools})

    async def tools(self, context: RequestContext, body: bytes) -> Reply:
        """The list; it is the same for everybody."""
        return Reply(200, JSON, self._body)


def error_result(error: GatewayError) -> ToolResult:
    """A failure, for whoever called a tool to read."""
    return ToolResult(error.message, is_error=True)


def _said(text: str) -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": text}]})
