"""One prompt target as an agent, so that agent listeners route to it as to any other one."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from router.access.control import estimated_tokens
from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, message_text
from router.errors import GatewayError
from router.functions.engine import FunctionEngine
from router.handlers.answering_model import AnsweringModel
from router.handlers.function_answers import FunctionAnswer
from router.handlers.functions import UNCERTAIN_HEADER
from router.routing import prompt
from router.routing.models import ModelChoice

logger = logging.getLogger(__name__)


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
        choices = () if plan.question is not None else await self._choices(request, context)
        outcome = await self._engine.carry_out(plan, request, context, has_model=bool(choices))
        return FunctionAnswer(outcome, request, context, self._model, choices)

    async def _choices(self, request: ChatRequest, context: RequestContext) -> Sequence[ModelChoice]:
        """Who may word the answer: nobody where a limit or a budget is reached. The request itself has been counted."""
        if self._model is None:
            return ()
        choices = self._model.choices(request, context)
        if not choices:
            return ()
        said = sum(len(message_text(message)) for message in request.messages)
        try:
            await self._model.admit(context, choices, estimated_tokens(said), counted=True)
        except GatewayError as exc:
            context.degraded.append("model")
            logger.warning("no model to word the answer", extra={"request_id": context.request_id, "cause": repr(exc)})
            return ()
        return choices
