"""A ``RouterService`` elsewhere as the orchestrator of this gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.protos.v1 import router_pb2 as wire
from router.services.remote import RemoteService
from router.triton.models import RouteScores

if TYPE_CHECKING:
    from router.protos.v1.router_pb2_grpc import RouterServiceAsyncStub  # in the stub file only


class RemoteOrchestrator:
    """Scores of the remote ``orchestrator``, ``None`` for its built-in one.

    What is made of scores, thresholds and defaults among it, stays with whoever asks.
    """

    def __init__(self, service: RemoteService[RouterServiceAsyncStub], orchestrator: str | None = None) -> None:
        self._service = service
        self._options = wire.RouteOptions(orchestrator=orchestrator)

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """Score ``routes`` (at least one) for the newest turn of ``conversation``. Raises ``ModelUnavailable``."""
        request = wire.RouteRequest(
            conversation=[wire.Message(role=turn.role, content=_sendable(turn.content)) for turn in conversation],
            routes=wire.RouteDefinitions(
                routes=[wire.RouteDefinition(name=route.name, description=route.description) for route in routes]
            ),
            options=self._options,
        )
        answer = await self._service.call(lambda stub: stub.Route, request, timeout_s=timeout_s)
        if [score.route for score in answer.scores] != [route.name for route in routes]:
            raise ModelUnavailable(f"The {self._service.options.name} gave an answer that breaks its contract.")
        return RouteScores(
            scores=tuple(score.score for score in answer.scores),
            order=tuple(score.position for score in answer.scores),
            model=answer.model,
            version=answer.model_version,
            threshold=answer.model_threshold,
        )


def _sendable(text: str) -> str:
    """Lone surrogates have no UTF-8 form; the text still has to be judged."""
    return text.encode("utf-8", "replace").decode()
