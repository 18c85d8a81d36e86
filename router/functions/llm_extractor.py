"""A language model that speaks tools as the extractor: targets become functions, its calls become ours."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import orjson

from router.aio import timeout
from router.context import RequestContext, Turn
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest
from router.errors import ModelUnavailable
from router.functions.extractor import ExtractedCall, Extraction, PendingCall
from router.functions.schema import parameters_schema
from router.functions.targets import Target, callable_names

# ``Upstream.complete``: the bytes of a whole chat completion.
Complete: TypeAlias = Callable[[ChatRequest, RequestContext], Awaitable[bytes]]

_MAX_ANSWER_TOKENS = 1024
_MAX_CALLS = 16

_INSTRUCTION = """\
Call the functions that the newest user message asks for, and only these: once each, or several times where it asks \
about several things. Earlier messages say what the newest one leaves out, so carry over what still holds. Take every \
value from the conversation. Where the user has not given a value, leave that argument out, also when the function \
cannot do without it: it will be asked for. Never make a value up. Now it is {now}."""

_PENDING = """ The assistant has just asked for the argument '{parameter}' of the function {function}; known so far: \
{arguments}."""


class LlmExtractor:
    """Asks ``model`` through ``complete``. ``now`` says what "tomorrow" means."""

    def __init__(
        self,
        complete: Complete,
        model: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._complete = complete
        self._model = model
        self._now = now

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        """See ``Extractor``. Raises ``GatewayError`` when the model fails or says nothing that is understood."""
        names = callable_names(target.name for target in targets)
        request = self._request(targets, names, conversation, pending)
        context = RequestContext(
            f"extract-{uuid.uuid4().hex}", "functions", openai_chat.PATH, {}, time.monotonic() + timeout_s
        )
        try:
            async with timeout(timeout_s):
                answer = await self._complete(request, context)
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise ModelUnavailable(f"The model '{self._model}' did not answer in time.") from exc
        by_name = {function: target for target, function in names.items()}
        return Extraction(tuple(self._calls(answer, by_name)))

    def _request(
        self,
        targets: Sequence[Target],
        names: Mapping[str, str],
        conversation: Sequence[Turn],
        pending: PendingCall | None,
    ) -> ChatRequest:
        instruction = _INSTRUCTION.format(now=self._now().strftime("%A, %Y-%m-%d %H:%M"))
        if pending is not None:
            known = orjson.dumps(dict(pending.arguments)).decode()
            instruction += _PENDING.format(
                parameter=pending.parameter, function=names.get(pending.target, pending.target), arguments=known
            )
        turns = [{"role": turn.role, "content": turn.content} for turn in conversation]
        return ChatRequest(
            {
                "model": self._model,
                "messages": [{"role": "system", "content": instruction}, *turns],
                "tools": [_tool(target, names[target.name]) for target in targets],
                "tool_choice": "auto",
                "max_tokens": _MAX_ANSWER_TOKENS,
            }
        )

    def _calls(self, answer: bytes, by_name: Mapping[str, str]) -> list[ExtractedCall]:
        try:
            message = orjson.loads(answer)["choices"][0]["message"]
            calls = []
            for call in (message.get("tool_calls") or ())[:_MAX_CALLS]:
                target = by_name.get(call["function"]["name"])
                arguments = orjson.loads(call["function"]["arguments"] or b"{}")
                if target is not None and isinstance(arguments, dict):
                    calls.append(ExtractedCall(target, arguments))
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as exc:
            raise ModelUnavailable(f"The model '{self._model}' gave an answer that is no function call.") from exc
        return calls


def _tool(target: Target, name: str) -> dict[str, Any]:
    # Nothing is required here: a model that has to give a value gives one, whether the user did or not.
    description = " ".join(target.description.split())
    function = {"name": name, "description": description, "parameters": parameters_schema(target)}
    return {"type": "function", "function": function}
