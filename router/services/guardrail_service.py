"""``GuardrailService``: what the guards of the configuration, and those of a request, say about texts."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from router.access.control import AccessControl
from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, chunk, chunk_base
from router.errors import ContentBlocked, GuardrailUnavailable, InvalidRequest, NotFound, PayloadTooLarge
from router.guardrails import InputGuards, OutputGuards, Passed
from router.protos.v1 import guardrail_pb2 as wire
from router.services.checked_stream import CheckedStream
from router.services.inline_guards import InlineGuards
from router.services.verdicts import NamedGuard, encode_verdict, gravest
from router.telemetry.metrics import Metrics

NAME = wire.DESCRIPTOR.services_by_name["GuardrailService"].full_name

_ROLES = frozenset({"", "user", "assistant", "system", "developer", "tool"})
_MAX_TEXTS = 4_096
_MAX_GUARDS = 64
# A gateway that asks from afar sends what it judges beside the texts, too: seams between messages, single sentences.
_INLINE_FACTOR = 4


class GuardrailService:
    """``named`` are the guards of the configuration, ``inline`` makes those of requests.

    ``max_chars`` is what guards read of one request.
    """

    def __init__(
        self,
        named: Mapping[str, NamedGuard],
        inline: InlineGuards,
        access: AccessControl,
        metrics: Metrics,
        *,
        max_chars: int,
    ) -> None:
        self._named = named
        self._inline = inline
        self._access = access
        self._metrics = metrics
        self._max_chars = max_chars

    async def check(self, request: wire.CheckRequest, context: RequestContext) -> wire.CheckResponse:
        """The verdicts; that a model is gone is one. Raises ``GatewayError`` for requests that nobody can judge."""
        started = time.perf_counter()
        answer = wire.CheckResponse()
        named = self._find(request.guards)
        inline = self._inline.read(request.definitions)
        if not named and not inline:
            raise InvalidRequest("There is nobody to judge: give `guards` or `definitions`.", param="guards")
        _check_texts(request)
        await self._access.admit(context, None, 0)  # a request that costs no provider's tokens
        if named and request.direction == wire.DIRECTION_OUTPUT:
            await self._judge_answer(request.texts, _for_answers(named), context, answer)
        elif named:
            await self._judge_request(request.texts, named, context, answer)
        if inline:
            if sum(len(text.content) for text in request.texts) > _INLINE_FACTOR * self._max_chars:
                raise PayloadTooLarge("There is more text than guards read.", param="texts")
            answer.verdicts.extend(await self._inline.judge(inline, request.texts, timeout_s=context.remaining_s()))
        answer.outcome = gravest(verdict.outcome for verdict in answer.verdicts)
        if answer.outcome != wire.OUTCOME_REDACT:
            del answer.texts[:]
        answer.latency.FromNanoseconds(round((time.perf_counter() - started) * 1e9))
        return answer

    async def check_stream(
        self, requests: AsyncIterator[wire.CheckStreamRequest], context: RequestContext
    ) -> AsyncGenerator[wire.CheckStreamResponse, None]:
        """Windows of one answer as they are judged."""
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "open":
            raise InvalidRequest("The first message has to open the stream.", param="open")
        named = self._find(first.open.guards)
        if not named:
            raise InvalidRequest("There is nobody to judge: give `guards`.", param="open.guards")
        guards = OutputGuards([each.guard for each in _for_answers(named)], self._metrics)
        await self._access.admit(context, None, 0)
        stream = CheckedStream(guards, self._named, context, report_held=first.open.report_held)
        async with aclosing(stream.events(requests)) as events:
            async for event in events:
                yield event

    def _find(self, names: Sequence[str]) -> list[NamedGuard]:
        if len(names) > _MAX_GUARDS:
            raise InvalidRequest(f"There may be {_MAX_GUARDS} guards at most.", param="guards")
        unique = dict.fromkeys(names)
        for place, name in enumerate(unique):
            if name not in self._named:
                raise NotFound("No guard has this name.", param=f"guards[{place}]")
        return [self._named[name] for name in unique]

    async def _judge_request(
        self,
        texts: Sequence[wire.Text],
        named: Sequence[NamedGuard],
        context: RequestContext,
        answer: wire.CheckResponse,
    ) -> None:
        guards = InputGuards([each.guard for each in named], self._metrics, max_chars=self._max_chars)
        messages = [{"role": text.role or "user", "content": text.content} for text in texts]
        try:
            ruling = await guards.rule(ChatRequest({"model": "", "messages": messages}), context)
        except (ContentBlocked, GuardrailUnavailable):
            ruling = None  # the verdicts say so
        except PayloadTooLarge as exc:
            raise PayloadTooLarge(exc.message, param="texts") from exc
        self._add_verdicts(context, answer)
        if isinstance(ruling, Passed):
            for message in ruling.request.messages:
                answer.texts.add(role=message["role"], content=message["content"])

    async def _judge_answer(
        self,
        texts: Sequence[wire.Text],
        named: Sequence[NamedGuard],
        context: RequestContext,
        answer: wire.CheckResponse,
    ) -> None:
        guards = OutputGuards([each.guard for each in named], self._metrics)
        transform = guards.transform(ChatRequest({"model": "", "messages": [], "stream": False}), context)
        if transform is None:
            raise ValueError("there are no guards")
        left = [""] * len(texts)
        try:
            async with aclosing(transform(_whole(texts))) as batches:
                async for batch in batches:
                    for choice in (choice for each in batch for choice in each["choices"]):
                        left[choice["index"]] += choice["delta"].get("content", "")
        except (ContentBlocked, GuardrailUnavailable):
            pass  # the verdicts say so
        self._add_verdicts(context, answer)
        for text, content in zip(texts, left, strict=True):
            answer.texts.add(role=text.role or "assistant", content=content)

    def _add_verdicts(self, context: RequestContext, answer: wire.CheckResponse) -> None:
        answer.verdicts.extend(encode_verdict(verdict, self._named[verdict.guard]) for verdict in context.verdicts)


async def _whole(texts: Sequence[wire.Text]) -> AsyncGenerator[list[JsonObject], None]:
    """The texts as the choices of one answer."""
    pieces = [chunk({"content": text.content}, base=chunk_base("")) for text in texts]
    for index, piece in enumerate(pieces):
        piece["choices"][0]["index"] = index
    yield pieces


def _for_answers(named: Sequence[NamedGuard]) -> Sequence[NamedGuard]:
    for place, each in enumerate(named):
        if not each.judges_answers:
            raise InvalidRequest("This guard judges requests only.", param=f"guards[{place}]")
    return named


def _check_texts(request: wire.CheckRequest) -> None:
    texts = request.texts
    if request.guards and not texts:
        raise InvalidRequest("There is nothing to judge.", param="texts")
    if len(texts) > _MAX_TEXTS:
        raise InvalidRequest(f"There may be {_MAX_TEXTS} texts at most.", param="texts")
    for place, text in enumerate(texts):
        if text.role not in _ROLES:
            known = ", ".join(sorted(_ROLES - {""}))
            raise InvalidRequest(f"This is none of the roles: {known}.", param=f"texts[{place}].role")
