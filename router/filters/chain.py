"""Filters in their order: a request through the input filters, an answer back through the output filters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from router.context import AnswerTransform, RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, chunk, chunk_base
from router.errors import FilterRejected
from router.filters.base import AnswerFilter, Blocked, LocalAnswer, Rejection, RequestOutcome
from router.filters.policy import PolicedFilter
from router.telemetry import semconv

FILTER_HEADER = "x-trident-filter"
_REFUSAL_GAP = "\n\n"


class FilterChain:
    """The filters of a listener, or of one ``agent`` on it. An empty chain is false and costs nothing."""

    __slots__ = ("_agent", "_inputs", "_outputs")

    def __init__(
        self, inputs: Sequence[PolicedFilter], outputs: Sequence[PolicedFilter], *, agent: str | None = None
    ) -> None:
        self._inputs = tuple(inputs)
        self._outputs = tuple(reversed(outputs))
        self._agent = agent

    def __bool__(self) -> bool:
        return bool(self._inputs or self._outputs)

    async def apply_request(self, request: ChatRequest, context: RequestContext) -> ChatRequest | LocalAnswer:
        """``request`` as the input filters let it through, or the answer of one of them.

        Raises ``FilterRejected`` when one of them refuses it, ``FilterUnavailable`` when one failed and is fail-closed.
        Who refused or answered is named in ``x-trident-filter``. An answer of a filter's own has to pass ``transform``
        as any other answer does: what an earlier filter took out of the request is put back there.
        """
        for each in self._inputs:
            if not each.applies(request, context, self._agent):
                continue
            with context.span.child(
                f"{semconv.FILTER_SPAN} {each.name}", "internal", {semconv.FILTER: each.name}
            ) as span:
                outcome = await each.on_request(request, context)
                span.set(semconv.FILTER_OUTCOME, _outcome_name(outcome, request))
            if isinstance(outcome, ChatRequest):
                request = outcome
                continue
            context.response_headers[FILTER_HEADER] = each.name
            if isinstance(outcome, Rejection):
                raise FilterRejected(outcome.message, status=outcome.status)
            return outcome
        return request

    def transform(self, request: ChatRequest, context: RequestContext) -> AnswerTransform | None:
        """What answers to ``request`` have to go through; ``None`` where no filter looks at them.

        It may be applied to several answers, one for each try at an upstream: each has filters of its own. Closing what
        it gives closes the answer; raises ``FilterUnavailable`` where a filter failed and is fail-closed.
        """
        filters = [each for each in self._outputs if each.applies(request, context, self._agent)]
        if not filters:
            return None

        def transform(chunks: AsyncGenerator[list[JsonObject], None]) -> AsyncGenerator[list[JsonObject], None]:
            return _filtered(chunks, filters, request, context)

        return transform


def _outcome_name(outcome: RequestOutcome, request: ChatRequest) -> str:
    if isinstance(outcome, ChatRequest):
        return "passed" if outcome is request else "changed"
    return "rejected" if isinstance(outcome, Rejection) else "answered"


async def _filtered(
    chunks: AsyncGenerator[list[JsonObject], None],
    filters: Sequence[PolicedFilter],
    request: ChatRequest,
    context: RequestContext,
) -> AsyncGenerator[list[JsonObject], None]:
    async with aclosing(chunks) as batches:
        stages = [
            _Stage(each.name, looking)
            for each in filters
            if (looking := each.answer_filter(request, context)) is not None
        ]
        answer = _Answer(stages, context)
        async for batch in batches:
            if passed := await answer.feed(batch):
                yield passed
            if answer.ended:
                return
        if passed := await answer.finish():
            yield passed


class _Stage:
    """One filter's part in one answer; ``spoke``: it has let text through."""

    __slots__ = ("filter", "name", "spoke")

    def __init__(self, name: str, filter_: AnswerFilter) -> None:
        self.name = name
        self.filter = filter_
        self.spoke = False


class _Answer:
    """One answer on its way through the stages. ``ended``: one of them has blocked it."""

    __slots__ = ("_base", "_context", "_stages", "ended")

    def __init__(self, stages: Sequence[_Stage], context: RequestContext) -> None:
        self._stages = stages
        self._context = context
        self._base: JsonObject | None = None
        self.ended = False

    async def feed(self, batch: list[JsonObject], start: int = 0) -> list[JsonObject]:
        """What the last stage lets through of ``batch``, which enters at stage ``start``."""
        if self._base is None and batch:
            first = batch[0]
            self._base = chunk_base(str(first.get("model") or ""), id_=first.get("id"), created=first.get("created"))
        for position in range(start, len(self._stages)):
            if not batch:
                return batch
            stage = self._stages[position]
            outcome = await stage.filter.feed(batch)
            if isinstance(outcome, Blocked):
                return await self._refuse(outcome, position)
            stage.spoke = stage.spoke or any(map(_speaks, outcome))
            batch = outcome
        return batch

    async def finish(self, start: int = 0) -> list[JsonObject]:
        """What the stages held back, each through those after it."""
        passed: list[JsonObject] = []
        for position in range(start, len(self._stages)):
            outcome = await self._stages[position].filter.finish()
            if isinstance(outcome, Blocked):
                return passed + await self._refuse(outcome, position)
            passed += await self.feed(outcome, position + 1)
            if self.ended:
                break
        return passed

    async def _refuse(self, blocked: Blocked, position: int) -> list[JsonObject]:
        """The end of the answer: what the stages behind hold of it still comes out, then the refusal."""
        stage = self._stages[position]
        self._context.response_headers[FILTER_HEADER] = stage.name  # seen where nothing has gone out yet
        base = self._base or chunk_base("")
        gap = _REFUSAL_GAP if stage.spoke else ""
        refusal = [
            chunk({"role": "assistant", "content": gap + blocked.message}, base=base),
            chunk({}, base=base, finish_reason="content_filter"),
        ]
        passed = await self.feed(refusal, position + 1)
        if not self.ended:
            passed += await self.finish(position + 1)
        self.ended = True
        return passed


def _speaks(piece: JsonObject) -> bool:
    return any((choice.get("delta") or {}).get("content") for choice in piece.get("choices") or ())
