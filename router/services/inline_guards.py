"""Guards that a request brings along: a classifier or topics of the server's models, with thresholds of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.context import RouteDescription, Turn
from router.errors import GatewayError, InvalidRequest, NotFound
from router.guardrails import Guard, GuardPolicy, LabelCheck, ScoredModel, TopicCheck
from router.guardrails.checks import RouteScores, TopicScorer
from router.guardrails.engine import Judgement, judge
from router.guardrails.texts import Passage, Subject
from router.protos.v1 import guardrail_pb2 as wire
from router.services.verdicts import OUTCOMES
from router.telemetry.metrics import Metrics

_MAX_DEFINITIONS = 16
_MAX_TOPICS = 256
_MAX_NAME_CHARS = 128
_DEFAULT_TOPIC_MODEL = "orchestrator"
_COUNTED_AS = "inline"  # the names of such guards are the clients'


@dataclass(frozen=True, slots=True)
class InlineGuard:
    """One definition, made ready. ``scored`` is the model of a classifier, ``topics`` the scorer of topics."""

    guard: Guard
    model: str
    scored: ScoredModel | None = None
    topics: _ThresholdSeen | None = None


class _ThresholdSeen:
    """A topic scorer, and the threshold of its model as far as it has been asked."""

    def __init__(self, scorer: TopicScorer) -> None:
        self.threshold: float | None = None
        self._scorer = scorer

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        scores = await self._scorer.score(conversation, routes, timeout_s=timeout_s)
        self.threshold = scores.threshold
        return scores


class InlineGuards:
    """Makes and asks guards of requests; ``classifiers`` and ``topic_scorers`` are the models that they may name."""

    def __init__(
        self,
        classifiers: Mapping[str, ScoredModel],
        topic_scorers: Mapping[str, TopicScorer],
        metrics: Metrics,
    ) -> None:
        self._classifiers = classifiers
        self._topic_scorers = topic_scorers
        self._metrics = metrics

    def read(self, definitions: Sequence[wire.GuardDefinition]) -> list[InlineGuard]:
        """The guards of a request. Raises ``InvalidRequest`` and ``NotFound``, which name the field."""
        if len(definitions) > _MAX_DEFINITIONS:
            raise InvalidRequest(f"There may be {_MAX_DEFINITIONS} definitions at most.", param="definitions")
        return [self._read(each, f"definitions[{place}]") for place, each in enumerate(definitions)]

    async def judge(
        self, guards: Sequence[InlineGuard], texts: Sequence[wire.Text], *, timeout_s: float
    ) -> list[wire.Verdict]:
        """What each says; a model that is gone is a verdict, too."""
        passages = tuple([Passage(text.content, (place,)) for place, text in enumerate(texts)])
        turns = tuple([Turn(text.role or "user", text.content) for text in texts])
        subject = Subject(passages, turns if turns and turns[-1].role == "user" else ())
        judgements = await judge([each.guard for each in guards], lambda _: subject, timeout_s=timeout_s)
        return [
            await self._verdict(each, judgement, texts, timeout_s)
            for each, judgement in zip(guards, judgements, strict=True)
        ]

    async def _verdict(
        self, inline: InlineGuard, judgement: Judgement, texts: Sequence[wire.Text], timeout_s: float
    ) -> wire.Verdict:
        self._metrics.guard_judged(_COUNTED_AS, judgement.outcome)
        finding = judgement.finding
        verdict = wire.Verdict(
            guard=inline.guard.policy.name,
            outcome=OUTCOMES[judgement.outcome],
            label=finding.label or "",
            score=finding.score,
            found_in=sorted({place for passage in finding.hits for place in passage.messages}),
            model=inline.model,
        )
        if judgement.outcome == "unavailable":
            self._metrics.degraded("guardrail")
        elif inline.topics is not None and inline.topics.threshold is not None:
            verdict.model_thresholds.threshold = inline.topics.threshold
        elif inline.scored is not None:
            try:
                await _add_scores(verdict, inline.scored, texts, timeout_s)
            except GatewayError:  # judged a moment ago, gone now
                verdict.outcome = wire.OUTCOME_UNAVAILABLE
        return verdict

    def _read(self, given: wire.GuardDefinition, field: str) -> InlineGuard:
        if not 1 <= len(given.name) <= _MAX_NAME_CHARS:
            raise InvalidRequest(f"A name has 1 to {_MAX_NAME_CHARS} characters.", param=f"{field}.name")
        policy = GuardPolicy(given.name)
        kind = given.WhichOneof("check")
        if kind == "classifier":
            model, scored = given.classifier.model, self._classifiers.get(given.classifier.model)
            if scored is None:
                raise NotFound("No guard of the configuration uses this model.", param=f"{field}.classifier.model")
            return InlineGuard(Guard(policy, _label_check(given.classifier, scored, field)), model, scored)
        if kind == "topics":
            model = given.topics.model or _DEFAULT_TOPIC_MODEL
            scorer = self._topic_scorers.get(model)
            if scorer is None:
                raise NotFound("No topic of the configuration uses this model.", param=f"{field}.topics.model")
            seen = _ThresholdSeen(scorer)
            return InlineGuard(Guard(policy, _topic_check(given.topics, seen, field)), model, topics=seen)
        raise InvalidRequest("There is nothing to check: give `classifier` or `topics`.", param=f"{field}.check")


async def _add_scores(verdict: wire.Verdict, scored: ScoredModel, texts: Sequence[wire.Text], timeout_s: float) -> None:
    # These have just been judged, so that nobody is asked again.
    known = await scored.scores([text.content for text in texts], timeout_s=timeout_s)
    for text in texts:
        pieces = known[text.content]
        verdict.scores.add(scores={label: max(piece[label] for piece in pieces) for label in pieces[0]})
    verdict.model_thresholds.threshold = await scored.classifier.threshold(timeout_s=timeout_s)
    verdict.model_thresholds.labels.update(await scored.classifier.thresholds(timeout_s=timeout_s))


def _label_check(given: wire.Classifier, scored: ScoredModel, field: str) -> LabelCheck:
    labels: dict[str, float | None] = dict.fromkeys(given.labels)
    for label, value in given.label_thresholds.items():
        labels[label] = _probability(value, f"{field}.classifier.label_thresholds")
    threshold = given.threshold if given.HasField("threshold") else None
    if threshold is not None:
        _probability(threshold, f"{field}.classifier.threshold")
    return LabelCheck(scored, labels or None, threshold)


def _topic_check(given: wire.Topics, scorer: TopicScorer, field: str) -> TopicCheck:
    if not 1 <= len(given.allow) <= _MAX_TOPICS:
        raise InvalidRequest(f"There have to be 1 to {_MAX_TOPICS} topics.", param=f"{field}.topics.allow")
    topics = [RouteDescription(topic.name, topic.description.strip()) for topic in given.allow]
    threshold = given.threshold if given.HasField("threshold") else None
    if threshold is not None:
        _probability(threshold, f"{field}.topics.threshold")
    return TopicCheck(scorer, topics, threshold)


def _probability(value: float, field: str) -> float:
    if math.isnan(value) or not 0 <= value <= 1:
        raise InvalidRequest("This is no number from 0 to 1.", param=field)
    return value
