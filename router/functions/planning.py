"""From a conversation to the calls that its newest turn asks for, and to the question that has to come first."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.context import Turn
from router.errors import GatewayError
from router.functions.extractor import ExtractedCall, Extractor, PendingCall
from router.functions.questions import AskedFor, Questions, question
from router.functions.schema import ArgumentProblem, CheckedArguments, TargetSchema
from router.functions.targets import Arguments, Target, named

_MAX_CALLS = 8
_MAX_QUESTIONS_IN_A_ROW = 8
_SAFE = frozenset({"GET"})  # RFC 9110, section 9.2.1, of the methods that endpoints have

_LEFT = "All right, I leave it at that, and do not go on with '{}'."
_DOUBT = "Say more precisely what you want, please: I am not sure that I should go on with '{}'."


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that is ready to be made."""

    target: Target
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: ``calls`` in order, then ``question``. Neither: the turn asks for none of the targets.

    ``uncertain`` names ``target.parameter`` where a value may be wrong; only calls that change nothing are made so.
    """

    calls: tuple[PlannedCall, ...] = ()
    question: str | None = None
    uncertain: tuple[str, ...] = ()

    @property
    def parallel(self) -> bool:
        """Whether the order of the calls does not matter: none of them changes anything."""
        return all(_is_safe(call.target) for call in self.calls)


class Planner:
    """Plans for the targets of one listener.

    ``rederives`` says that the extractor has to be told what was known before a question: it is asked again about the
    conversation that led to it. One that reads whole conversations anyway need not be.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        schemas: Mapping[str, TargetSchema],
        extractor: Extractor,
        *,
        rederives: bool = True,
    ) -> None:
        self._targets = tuple(targets)
        self._schemas = schemas
        self._extractor = extractor
        self._rederives = rederives
        self._questions = Questions(targets)

    def pending(self, conversation: Sequence[Turn]) -> str | None:
        """The target that the assistant has just asked a question about."""
        asked = self._questions.pending(conversation)
        return None if asked is None else asked.target.name

    async def plan(self, chosen: Sequence[str], conversation: Sequence[Turn], *, timeout_s: float) -> Plan:
        """The plan for the newest turn, for which the targets ``chosen`` were selected.

        A question that was asked is taken to be answered as long as its target is among them, or nothing is; then the
        newest turn is about that target alone. Raises ``GatewayError`` when the extractor fails.
        """
        deadline = time.monotonic() + timeout_s
        asked = self._questions.pending(conversation)
        targets = [target for name in chosen if (target := named(self._targets, name)) is not None]
        pending = None
        if asked is not None and (not targets or asked.target in targets):
            if self._questions.is_given_up(asked, conversation[-1]):
                return Plan(question=_LEFT.format(asked.target.name))
            targets = [asked.target]
            pending = await self._pending_call(asked, deadline, _MAX_QUESTIONS_IN_A_ROW)
        if not targets:
            return Plan()
        extracted = await self._extracted(targets, conversation, pending, deadline)
        return self._checked(extracted, pending)

    async def _extracted(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, deadline: float
    ) -> Sequence[ExtractedCall]:
        if not any(target.parameters for target in targets):
            return [ExtractedCall(target.name, {}) for target in targets]  # there is nothing to find out
        timeout_s = max(0.0, deadline - time.monotonic())
        extraction = await self._extractor.extract(targets, conversation, pending, timeout_s=timeout_s)
        calls = [call for call in extraction.calls if named(targets, call.target) is not None]
        if pending is not None:
            calls = [_completed(call, pending) for call in calls] or [ExtractedCall(pending.target, pending.arguments)]
        return calls[:_MAX_CALLS]

    async def _pending_call(self, asked: AskedFor, deadline: float, depth: int) -> PendingCall:
        """The call that the question was about, with what was known of it when it was asked."""
        known: Arguments = {}
        if self._rederives and depth > 0:
            before = self._questions.pending(asked.turns)
            earlier = None
            if before is not None and before.target == asked.target:
                earlier = await self._pending_call(before, deadline, depth - 1)
            try:
                calls = await self._extracted([asked.target], asked.turns, earlier, deadline)
            except GatewayError:
                calls = []  # what was known is lost, and asked for again
            schema = self._schemas[asked.target.name]
            own = [call for call in calls if call.target == asked.target.name]
            found = next((call for call in own if asked.parameter in schema.check(call.arguments).lacking), None)
            if found is None and own:
                found = own[0]  # it was a doubt that was asked about
            if found is not None:
                usable = schema.check(found.arguments).arguments
                known = {
                    name: usable[name] for name in found.arguments if name in usable and name != asked.parameter.name
                }
        return PendingCall(asked.target.name, known, asked.parameter.name)

    def _checked(self, extracted: Sequence[ExtractedCall], pending: PendingCall | None) -> Plan:
        """What can be called now, and the first question.

        Calls that change something keep their place in the row: those behind a question are not made before it.
        """
        calls: list[PlannedCall] = []
        uncertain: list[str] = []
        asking: str | None = None
        for call in extracted:
            schema = self._schemas[call.target]
            if asking is not None and not _is_safe(schema.target):
                continue
            checked = schema.check(call.arguments)
            settled = None if pending is None else pending.parameter
            doubts = [name for name in call.uncertain if name in checked.arguments and name != settled]
            unclear = _question(schema.target, checked, doubts, is_guess=not call.confident and pending is None)
            if unclear is not None:
                asking = asking or unclear
                continue
            calls.append(PlannedCall(schema.target, checked.arguments))
            uncertain += [f"{call.target}.{name}" for name in doubts]
        return Plan(tuple(calls), asking, tuple(uncertain))


def _question(target: Target, checked: CheckedArguments, doubts: Sequence[str], *, is_guess: bool) -> str | None:
    """What has to be asked before ``target`` is called; ``None`` where nothing has to be."""
    problems = list(checked.problems)
    if not _is_safe(target):
        problems += [ArgumentProblem(each) for each in target.parameters if each.name in doubts]
        if is_guess and not problems:
            return _DOUBT.format(target.name)
    return question(target, problems[0]) if problems else None


def _completed(call: ExtractedCall, pending: PendingCall) -> ExtractedCall:
    """``call`` with what was known before; what the newest turn says wins."""
    if call.target != pending.target:
        return call
    arguments = {**pending.arguments, **call.arguments}
    return ExtractedCall(call.target, arguments, confident=call.confident, uncertain=call.uncertain)


def _is_safe(target: Target) -> bool:
    return target.endpoint is None or target.endpoint.method in _SAFE
