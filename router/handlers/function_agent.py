"""One prompt target as an agent, so that agent listeners route to it as to any other one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject
from router.functions.engine import FunctionEngine
from router.handlers.answering_model import AnsweringModel
from router.handlers.function_answers import FunctionAnswer
from router.handlers.functions import UNCERTAIN_HEADER
from router.routing import prompt


class FunctionAgent:
    """The target ``name``, alone in ``engine``: whoever routes here has chosen it. Implements ``Agent``."""

    def __init__(self, name: str, engine: FunctionEngine, model: AnsweringModel | None) -> None:
        self._name = name
        self._engine = engine
        self._model = model

    @property
    def name(self) -> str:
        return self._name

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole answer in the client's dialect. Raises ``GatewayError``."""
        return await (await self._answer(request, context)).whole()

    async def ask(self, request: ChatRequest, context: RequestContext) -> str:
        """The text of the answer. Raises ``GatewayError``."""
        return await (await self._answer(request, context)).text()

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The answer as events in the client's dialect. Raises ``GatewayError``."""
        answer = await self._answer(request, context)
        async with aclosing(answer.stream()) as events:
            async for data in events:
                yield data

    async def chunks(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[list[JsonObject], None]:
        """The answer as batches of canonical chunks. Raises ``GatewayError``."""
        answer = await self._answer(request, context)
        async with aclosing(answer.chunks()) as batches:
            async for batch in batches:
                yield batch

    async def _answer(self, request: ChatRequest, context: RequestContext) -> FunctionAnswer:
        turns = prompt.turns(request.messages)
        plan = await self._engine.plan((self._name,), request, turns, timeout_s=context.remaining_s())
        if plan.uncertain:
            context.response_headers[UNCERTAIN_HEADER] = ", ".join(plan.uncertain)
        choices = self._model.choices(request, context) if self._model is not None else ()
        outcome = await self._engine.carry_out(plan, request, context, has_model=bool(choices))
        return FunctionAnswer(outcome, request, context, self._model, choices)
