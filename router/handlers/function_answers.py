"""What prompt targets make of a request, as an answer in whichever form it is wanted."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, chunks_of, completion
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import ProviderUnavailable, UpstreamError
from router.functions.engine import Outcome
from router.handlers.answering_model import AnsweringModel
from router.handlers.filtered_agent import assembled, one_batch, through
from router.handlers.reply import ByteStream
from router.routing.models import ModelChoice

logger = logging.getLogger(__name__)

_FAILURES = (UpstreamError, ProviderUnavailable)


class FunctionAnswer:
    """One outcome, to be read once, in one of these ways. ``choices`` is empty where no model can be asked.

    Where a model fails before its answer begins and the results are known, they are the answer: the calls that led to
    them may not be made again. Else every way raises ``UpstreamError``.
    """

    def __init__(
        self,
        outcome: Outcome,
        request: ChatRequest,
        context: RequestContext,
        model: AnsweringModel | None,
        choices: Sequence[ModelChoice],
    ) -> None:
        self._outcome = outcome
        self._request = request
        self._context = context
        self._model = model
        self._choices = choices

    async def whole(self) -> bytes:
        """A whole answer in the client's dialect."""
        asking, model = self._outcome.asking, self._model
        if asking is not None and model is not None:
            try:
                return await model.complete(asking, self._context, self._choices)
            except _FAILURES as exc:
                self._without_model(exc)
        batches = through(one_batch(self._local()), self._context.answer_transform)
        return CLIENT_DIALECTS[self._request.dialect].encode_completion(await assembled(batches), self._request)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The answer as events in the client's dialect."""
        asking, model = self._outcome.asking, self._model
        if asking is not None and model is not None:
            try:
                begun = await ByteStream.start(model.stream(asking, self._context, self._choices))
            except _FAILURES as exc:
                self._without_model(exc)
            else:
                async with aclosing(begun):
                    async for events in begun:
                        yield events
                return
        encoder = CLIENT_DIALECTS[self._request.dialect].stream_encoder(self._request)
        async with aclosing(through(one_batch(self._local()), self._context.answer_transform)) as batches:
            async for batch in batches:
                if events := b"".join([encoder.feed(chunk) for chunk in batch]):
                    yield events
        yield encoder.finish()

    async def text(self) -> str:
        """The text alone, looked at by nobody."""
        asking, model = self._outcome.asking, self._model
        if asking is not None and model is not None:
            try:
                return await model.text(asking, self._context, self._choices)
            except _FAILURES as exc:
                self._without_model(exc)
        return self._outcome.text or ""

    async def chunks(self) -> AsyncGenerator[list[JsonObject], None]:
        """Batches of canonical chunks, looked at by nobody."""
        asking, model = self._outcome.asking, self._model
        if asking is not None and model is not None:
            begun = False
            try:
                async with aclosing(model.chunks(asking, self._context, self._choices)) as batches:
                    async for batch in batches:
                        begun = True
                        yield batch
                return
            except _FAILURES as exc:
                if begun:
                    raise
                self._without_model(exc)
        yield self._local()

    def _without_model(self, error: UpstreamError | ProviderUnavailable) -> None:
        """Go on with the results where they are known, else raise ``error``."""
        if self._outcome.text is None:
            raise error
        self._context.degraded.append("model")
        logger.warning(
            "no model to word the answer",
            extra={"request_id": self._context.request_id, "cause": repr(error.__cause__ or error)},
        )

    def _local(self) -> list[JsonObject]:
        reason = "content_filter" if self._outcome.refused else "stop"
        said = {"content": self._outcome.text or ""}
        return chunks_of(completion(said, model=self._request.model or "", finish_reason=reason))
