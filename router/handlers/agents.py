"""Agent listeners: guard the conversation, decide who answers it, let the agents answer in that order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from router.access.control import AccessControl, estimated_tokens
from router.context import LocalReply, RequestContext, RouteDecision
from router.dialects.canonical import ChatRequest
from router.dialects.registry import CLIENT_DIALECTS
from router.handlers.admission import Admission, refusal_reply
from router.handlers.answers import CombinedAnswer, LastAnswer
from router.handlers.filtered_agent import Agent
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply
from router.routing import prompt
from router.routing.router import AgentRouter

ROUTE_HEADER = "x-trident-route"


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How several agents become one answer.

    ``answer``: with ``last`` only the last agent is heard and the others' answers are its context; with ``combined``
    every agent's part is in the answer. ``parallel``: agents of one stage run at the same time (combined answers only:
    the last agent of a ``last`` answer needs what the others said).
    """

    answer: Literal["last", "combined"] = "last"
    parallel: bool = False


class AgentsHandler:
    """Conversations on one agent listener, in any dialect."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        router: AgentRouter,
        admission: Admission,
        access: AccessControl,
        options: AnswerOptions,
    ) -> None:
        self._agents = agents
        self._router = router
        self._admission = admission
        self._access = access
        self._options = options

    async def complete(self, context: RequestContext, body: bytes) -> Reply:
        """``POST`` to the path of a client dialect."""
        client = CLIENT_DIALECTS[context.dialect]
        decoded = client.decode_request(body)
        context.conversation = decoded.messages
        await self._access.admit(context, None, estimated_tokens(len(body)))
        request = await self._admission.filtered(decoded, context)
        if isinstance(request, Reply):
            return request

        async def decide(asked: ChatRequest, target: str | None) -> RouteDecision:
            if target is not None:
                return RouteDecision(((target,),), "guard")
            turns = prompt.turns(asked.messages)
            return await self._router.decide(turns, timeout_s=context.remaining_s(), span=context.span)

        admitted = await self._admission.admit_while(request, context, decide)
        if isinstance(admitted, LocalReply):
            return refusal_reply(request, admitted)
        request, decision = admitted.request, admitted.decision
        if decision.reason == "degraded":
            context.degraded.append("orchestrator")
        context.decision = decision
        headers = {ROUTE_HEADER: ", ".join(decision.routes)}
        answer = self._answer(decision, context)
        if request.stream:
            stream = await ByteStream.start(answer.stream(request))
            return Reply(200, EVENT_STREAM, stream, headers, client.encode_stream_error)
        return Reply(200, JSON, await answer.whole(request), headers)

    def _answer(self, decision: RouteDecision, context: RequestContext) -> LastAnswer | CombinedAnswer:
        if self._options.answer == "combined" and len(decision.routes) > 1:
            return CombinedAnswer(self._agents, decision.stages, context, parallel=self._options.parallel)
        return LastAnswer(self._agents, decision.routes, context)
