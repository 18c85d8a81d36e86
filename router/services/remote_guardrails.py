"""A ``GuardrailService`` elsewhere as the classifiers and topic scorers of this gateway's guards.

Guards stay here, with what they do about findings; only the models are elsewhere. So scores are kept, windows are cut
and failures are policy as with models of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.protos.v1 import guardrail_pb2 as wire
from router.services.remote import RemoteService

if TYPE_CHECKING:
    from router.protos.v1.guardrail_pb2_grpc import GuardrailServiceAsyncStub  # in the stub file only


class RemoteClassifier:
    """One classifier of the remote service. Its thresholds are those of its last answer."""

    def __init__(self, service: RemoteService[GuardrailServiceAsyncStub], model: str) -> None:
        self.model = model
        self._service = service
        self._definition = wire.GuardDefinition(name=model, classifier=wire.Classifier(model=model))
        self._thresholds: wire.Thresholds | None = None

    async def classify(self, texts: Sequence[str], *, timeout_s: float) -> list[Mapping[str, float]]:
        """The scores of each text by label, all or nothing. Raises ``ModelUnavailable``."""
        if not texts:
            return []
        verdict = await self._ask(texts, timeout_s)
        if len(verdict.scores) != len(texts):
            raise ModelUnavailable(_broken_contract(self._service))
        return [dict(each.scores) for each in verdict.scores]

    async def threshold(self, *, timeout_s: float) -> float:
        """The score from which the model's makers take a text to be what it looks for."""
        return (await self._known_thresholds(timeout_s)).threshold

    async def thresholds(self, *, timeout_s: float) -> Mapping[str, float]:
        """For each label, the score from which the model's makers take a text to carry it."""
        return dict((await self._known_thresholds(timeout_s)).labels)

    async def _known_thresholds(self, timeout_s: float) -> wire.Thresholds:
        if self._thresholds is not None:
            return self._thresholds
        return (await self._ask((), timeout_s)).model_thresholds

    async def _ask(self, texts: Sequence[str], timeout_s: float) -> wire.Verdict:
        verdict = await _verdict(self._service, self._definition, [_text("user", text) for text in texts], timeout_s)
        self._thresholds = verdict.model_thresholds
        return verdict


@dataclass(frozen=True, slots=True)
class TopicScores:
    """How near a message is to the nearest of some topics, as the only score."""

    scores: tuple[float, ...]
    threshold: float


class RemoteTopics:
    """The topic scorer of the remote service: ``model`` is an orchestrator there."""

    def __init__(self, service: RemoteService[GuardrailServiceAsyncStub], model: str) -> None:
        self._service = service
        self._model = model

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> TopicScores:
        """The best score of ``routes`` for the newest turn. Raises ``ModelUnavailable``."""
        topics = wire.Topics(
            allow=[wire.Topic(name=route.name, description=route.description) for route in routes], model=self._model
        )
        texts = [_text(turn.role, turn.content) for turn in conversation]
        definition = wire.GuardDefinition(name="topics", topics=topics)
        verdict = await _verdict(self._service, definition, texts, timeout_s)
        if not verdict.HasField("model_thresholds"):
            raise ModelUnavailable(_broken_contract(self._service))
        return TopicScores((1.0 - verdict.score,), verdict.model_thresholds.threshold)


async def _verdict(
    service: RemoteService[GuardrailServiceAsyncStub],
    definition: wire.GuardDefinition,
    texts: Sequence[wire.Text],
    timeout_s: float,
) -> wire.Verdict:
    request = wire.CheckRequest(texts=texts, definitions=[definition])
    answer = await service.call(lambda stub: stub.Check, request, timeout_s=timeout_s)
    if len(answer.verdicts) != 1:
        raise ModelUnavailable(_broken_contract(service))
    if answer.outcome == wire.OUTCOME_UNAVAILABLE:
        raise ModelUnavailable(f"The {service.options.name} cannot ask its model.")
    return answer.verdicts[0]


def _text(role: str, content: str) -> wire.Text:
    # Lone surrogates have no UTF-8 form; the text still has to be judged.
    return wire.Text(role=role, content=content.encode("utf-8", "replace").decode())


def _broken_contract(service: RemoteService[GuardrailServiceAsyncStub]) -> str:
    return f"The {service.options.name} gave an answer that breaks its contract."
