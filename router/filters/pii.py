"""``pii``: personal data that no provider gets to read, or that nobody is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.config.pii import PiiAction, PiiDirection, PiiSettings
from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, encode_json
from router.dialects.registry import CLIENT_DIALECTS
from router.filters.base import AnswerFilter, Rejection, RequestOutcome
from router.filters.pii_answers import CheckedAnswer, RestoredAnswer, TwoFilters
from router.filters.pii_arguments import NamedValues
from router.filters.text_leaves import rewrite_leaves
from router.pii.findings import Finding, resolve_overlaps
from router.pii.named_entities import EntityModel
from router.pii.placeholders import Placeholders
from router.pii.redactor import DetectionPolicy, Redactor

PII_HEADER = "x-trident-pii"

# Where people talk, by the words of all dialects. Elsewhere (tools, settings) only patterns are looked for: names there
# belong to the application, and to ask the model about every word of a schema would cost more than the conversation.
_CONVERSATION = frozenset({"messages", "input", "system", "instructions", "prediction"})

_READABLE_PARTS = frozenset({"text", "refusal"})


@dataclass(frozen=True, slots=True)
class PiiRules:
    """What a filter does about what it finds; the words are those of the configuration (``router.config.pii``)."""

    action: PiiAction = "redact"
    direction: PiiDirection = "input"
    attachments_allowed: bool = False
    message: str = "This contains personal data, which is not allowed here."


class PiiFilter:
    """Personal data in the texts of requests and answers: tool calls, their results and every other field included.

    What ``redact`` takes out of a request it puts back into the answer: as an input filter it is an output filter, too.
    What stands for what is known for as long as the request, and by it alone.
    """

    def __init__(self, name: str, redactor: Redactor, rules: PiiRules) -> None:
        self.name = name
        self._redactor = redactor
        self._rules = rules

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """The request with placeholders, or a rejection with status 400."""
        rules = self._rules
        if rules.direction == "output":
            return request
        if not rules.attachments_allowed and any(map(_has_attachment, request.messages)):
            return Rejection(
                "The request has an image, sound or a file, which cannot be searched for personal data "
                f"(attachments of the filter '{self.name}')."
            )
        named = NamedValues(self._redactor.find)
        bodies = [named.read(dict(body)) for body in _bodies_of(request)]
        spoken, written = _texts_of(bodies)
        found = dict(zip(spoken, await self._redactor.find_all(spoken, timeout_s=context.remaining_s()), strict=True))
        found.update(zip(written, await self._redactor.find_patterns(written), strict=True))
        for text, findings in named.found.items():
            found[text] = resolve_overlaps([*found.get(text, ()), *findings], text)
        if rules.action == "redact":
            return await self._redacted(request, bodies, found, context)
        kinds = [finding.entity for findings in found.values() for finding in findings]
        if kinds and rules.action == "block":
            return Rejection(rules.message)
        annotate(kinds, context)
        return request

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        placeholders: Placeholders | None = context.filter_state.get((self.name, "placeholders"))
        restored = RestoredAnswer(placeholders) if placeholders else None
        if self._rules.direction == "input":
            return restored
        checked = CheckedAnswer(self._redactor, self._rules.action, self._rules.message, context, annotate)
        return checked if restored is None else TwoFilters(checked, restored)

    async def _redacted(
        self,
        request: ChatRequest,
        bodies: Sequence[JsonObject],
        found: Mapping[str, Sequence[Finding]],
        context: RequestContext,
    ) -> ChatRequest:
        """``request`` with ``bodies``, its own, in which everything that was found is replaced."""
        placeholders: Placeholders = context.filter_state.setdefault((self.name, "placeholders"), Placeholders())
        if not placeholders and not any(found.values()):
            return request
        # Reasoning that models sent has placeholders, put there for the same values.
        others = [message for message in request.messages if message["role"] != "assistant"]
        placeholders.reserve(_texts_of([{"messages": others}])[0])
        texts = list(found)
        replaced = dict(
            zip(texts, await self._redactor.pseudonymise(texts, list(found.values()), placeholders), strict=True)
        )

        def rewrite(text: str) -> str:
            return replaced.get(text, text)

        rewritten = [rewrite_leaves(body, rewrite) for body in bodies]
        if request.native is not None:
            return CLIENT_DIALECTS[request.dialect].decode_request(encode_json(rewritten[0]))
        payload, extras = rewritten
        return ChatRequest(
            payload,
            dialect=request.dialect,
            untranslated=request.untranslated,
            refused=request.refused,
            extras=extras,
        )


def pii_filter(name: str, settings: PiiSettings, model: EntityModel | None) -> PiiFilter:
    """The filter of a configuration; ``model`` is the one that ``settings`` name, ``None`` where they name none."""
    policy = DetectionPolicy(
        entities=settings.entities,
        min_score=settings.min_score,
        allow=settings.allow,
        phone_regions=settings.phone_regions,
    )
    rules = PiiRules(settings.action, settings.direction, settings.attachments == "allow", settings.message)
    return PiiFilter(name, Redactor(policy, model), rules)


def annotate(kinds: Iterable[str], context: RequestContext) -> None:
    """Say in the response's headers what was found, and how often."""
    counts: Counter[str] = Counter()
    for part in context.response_headers.get(PII_HEADER, "").split(", "):
        kind, _, count = part.partition("=")
        counts[kind] += int(count or 0)
    counts.update(kinds)
    said = ", ".join(f"{kind}={count}" for kind, count in sorted(counts.items()) if count)
    if said:
        context.response_headers[PII_HEADER] = said


def _has_attachment(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") not in _READABLE_PARTS for part in content)


def _texts_of(bodies: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The different texts of a conversation, in its order, and those beside it."""
    spoken: dict[str, None] = {}
    written: dict[str, None] = {}
    for name, value in _fields(bodies):
        texts = spoken if name in _CONVERSATION else written

        def collect(text: str, texts: dict[str, None] = texts) -> str:
            texts.setdefault(text)
            return text

        rewrite_leaves({name: value}, collect)
    return list(spoken), [text for text in written if text not in spoken]


def _bodies_of(request: ChatRequest) -> list[Mapping[str, Any]]:
    """What the client wrote, or all that is left of it."""
    return [request.payload, request.extras] if request.native is None else [request.native]


def _fields(bodies: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    for body in bodies:
        yield from body.items()
