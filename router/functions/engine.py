"""Prompt targets of one listener, from a conversation to what is answered: select, plan, call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from router.context import LocalReply, RequestContext, RouteDecision, Turn
from router.dialects.canonical import ChatRequest
from router.errors import ProviderUnavailable
from router.functions.answering import results_data, system_prompt_of, with_results, with_system_prompt
from router.functions.calls import CallResult, FunctionCalls
from router.functions.planning import Plan, PlannedCall, Planner
from router.functions.rendering import unescaped
from router.functions.schema import TargetSchema
from router.functions.selection import TargetSelection
from router.functions.targets import Target
from router.telemetry.tracing import NOT_TRACED, Span

# What becomes of results before a model reads them: they, changed or not, or a refusal. Raises ``GatewayError``.
Judge: TypeAlias = Callable[[str, RequestContext], Awaitable[str | LocalReply]]

_GAP = "\n\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be answered: ``text``, or what a language model makes of ``asking``.

    With both, ``text`` is for when the model fails: the calls have been made, and their results are known. ``refused``:
    ``text`` is what a guard says in the place of the results.
    """

    text: str | None = None
    asking: ChatRequest | None = None
    refused: bool = False


class FunctionEngine:
    """``selection`` is ``None`` where somebody else selects. ``system_prompt`` is for targets without one.

    ``judge`` looks at results before a model reads them: an API may repeat what strangers have written.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        planner: Planner,
        calls: FunctionCalls,
        *,
        selection: TargetSelection | None = None,
        system_prompt: str | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.targets = tuple(targets)
        self._planner = planner
        self._calls = calls
        self._selection = selection
        self._system_prompt = system_prompt
        self._judge = judge
        self._default = next((target for target in targets if target.default), None)

    async def select(self, turns: Sequence[Turn], *, timeout_s: float, span: Span = NOT_TRACED) -> RouteDecision:
        """The targets for the newest turn: those that fit, else the one that a question was asked about, else none."""
        if not turns or turns[-1].role != "user" or self._selection is None:
            return RouteDecision((), "no_match")
        decision = await self._selection.select(turns, timeout_s=timeout_s, span=span)
        if not decision.stages and (pending := self._planner.pending(turns)) is not None:
            return replace(decision, stages=((pending,),))
        return decision

    async def plan(
        self, names: Sequence[str], request: ChatRequest, turns: Sequence[Turn], *, timeout_s: float
    ) -> Plan:
        """What is to be called; what fits no target is for the default one. Raises ``GatewayError``."""
        plan = await self._planner.plan(names, turns, timeout_s=timeout_s)
        if plan.calls or plan.question or self._default is None:
            return plan
        if self._default.parameters:
            return await self._planner.plan((self._default.name,), turns, timeout_s=timeout_s)
        return Plan((PlannedCall(self._default, _whole_conversation(self._default, request)),))

    async def carry_out(self, plan: Plan, request: ChatRequest, context: RequestContext, *, has_model: bool) -> Outcome:
        """Make the calls of ``plan``. ``has_model``: a language model may be asked.

        Raises ``GatewayError`` when every call failed, and when only a model could answer and there is none.
        """
        if not plan.calls:
            return self._without_calls(plan, request, has_model=has_model)
        targets = [call.target for call in plan.calls]
        system_prompt = system_prompt_of([target.system_prompt for target in targets], self._system_prompt)
        if plan.question is None and all(target.endpoint is None for target in targets):
            if not has_model:
                raise ProviderUnavailable(f"'{targets[0].name}' needs a language model, and none can be asked.")
            return Outcome(asking=with_system_prompt(request, system_prompt))
        results = await self._calls.run(plan, context)
        text = _text(results, plan.question)
        if not (has_model and plan.question is None and all(target.auto_llm_dispatch for target in targets)):
            return Outcome(text)
        data = results_data(results)
        if self._judge is not None:
            plain = unescaped(data)
            judged = await self._judge(plain, context)
            if isinstance(judged, LocalReply):
                return Outcome(judged.message, refused=True)
            if judged != plain:
                data = judged.replace("<", "\\u003c").replace(">", "\\u003e")
        return Outcome(text, with_results(request, data, system_prompt))

    def _without_calls(self, plan: Plan, request: ChatRequest, *, has_model: bool) -> Outcome:
        if plan.question is not None:
            return Outcome(plan.question)
        if has_model:
            return Outcome(asking=with_system_prompt(request, self._system_prompt))
        offered = "\n".join(f"- {' '.join(target.description.split())}" for target in self.targets)
        return Outcome(f"I cannot help with that. What I can do:\n{offered}")


def _text(results: Sequence[CallResult], question: str | None) -> str:
    said = [result.text for result in results if result.call.target.endpoint is not None]
    return _GAP.join([*said, question] if question is not None else said)


def _whole_conversation(target: Target, request: ChatRequest) -> Mapping[str, object]:
    """What a default target without parameters gets, where its method has a body: the messages."""
    if target.endpoint is None or target.endpoint.method not in {"POST", "PUT"}:
        return {}
    return {"messages": request.messages}


def schemas_of(targets: Sequence[Target]) -> dict[str, TargetSchema]:
    """The schemas of ``targets`` by name."""
    return {target.name: TargetSchema(target) for target in targets}
