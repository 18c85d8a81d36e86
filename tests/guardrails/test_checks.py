from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.guardrails.checks import LabelCheck, SizeCheck, TopicCheck
from router.guardrails.scores import ScoredModel
from router.guardrails.texts import Passage, Subject
from tests.fakes.models import ScriptedOrchestrator


class Fixed:
    """A classifier that gives every text the same scores."""

    def __init__(self, scores: Mapping[str, float], thresholds: Mapping[str, float] | None = None) -> None:
        self._scores = scores
        self._thresholds = thresholds or dict.fromkeys(scores, 0.5)

    async def classify(self, texts: Sequence[str], *, timeout_s: float) -> list[Mapping[str, float]]:
        return [self._scores for _ in texts]

    async def threshold(self, *, timeout_s: float) -> float:
        return 0.5

    async def thresholds(self, *, timeout_s: float) -> Mapping[str, float]:
        return self._thresholds


MODERATION = Fixed({"hate": 0.4, "violence": 0.55}, {"hate": 0.6, "violence": 0.6})
UNDECIDED = Fixed({"benign": 0.4, "jailbreak": 0.25, "injection": 0.35})


@pytest.mark.parametrize(
    ("classifier", "labels", "threshold", "label", "score", "hit"),
    [
        (MODERATION, None, None, "violence", 0.55, False),
        (MODERATION, {"violence": 0.5}, None, "violence", 0.55, True),
        (MODERATION, {"hate": 0.4, "violence": 0.9}, None, "hate", 0.4, True),
        (MODERATION, {"hate": 0.3, "violence": None}, None, "hate", 0.4, True),
        (MODERATION, None, 0.5, "violence", 0.55, True),
        (MODERATION, {"hate": None}, 0.5, "hate", 0.4, False),
        (UNDECIDED, None, None, "injection", 0.6, True),
        (UNDECIDED, None, 0.61, "injection", 0.6, False),
        (UNDECIDED, {"jailbreak": None}, None, "jailbreak", 0.25, False),
        (UNDECIDED, {"jailbreak": 0.3, "injection": 0.3}, None, "injection", 0.35, True),
    ],
)
async def test_labels_count_each_or_together(
    classifier: Fixed,
    labels: Mapping[str, float | None] | None,
    threshold: float | None,
    label: str,
    score: float,
    hit: bool,
) -> None:
    model = ScoredModel(classifier)
    subject = Subject((Passage("x"),))
    scores = await model.scores(["x"], timeout_s=1)
    finding = await LabelCheck(model, labels, threshold).find(subject, scores, timeout_s=1)
    assert (finding.label, round(finding.score, 6), bool(finding.hits)) == (label, score, hit)


@pytest.mark.parametrize("labels", [{"nonsense": 0.5}, {"hate": 0.5, "nonsense": 0.5}])
async def test_a_label_that_the_model_does_not_have_is_a_model_that_cannot_be_asked(labels: dict[str, float]) -> None:
    model = ScoredModel(MODERATION)
    scores = await model.scores(["x"], timeout_s=1)
    with pytest.raises(ModelUnavailable):
        await LabelCheck(model, labels).find(Subject((Passage("x"),)), scores, timeout_s=1)


TRAVEL = [RouteDescription("travel", "Trips."), RouteDescription("food", "Cooking.")]


@pytest.mark.parametrize(("scores", "off"), [({"travel": 0.9}, False), ({"food": 0.5}, False), ({"food": 0.4}, True)])
async def test_a_message_about_none_of_the_topics_is_found(scores: dict[str, float], off: bool) -> None:
    orchestrator = ScriptedOrchestrator(scores)
    check = TopicCheck(orchestrator, TRAVEL)
    subject = Subject((), (Turn("user", "Where to?"),))
    for _ in range(2):
        finding = await check.find(subject, {}, timeout_s=1)
        assert bool(finding.hits) == off
    assert len(orchestrator.asked) == 1
    assert (await TopicCheck(orchestrator, TRAVEL, 0.2).find(subject, {}, timeout_s=1)).hits == ()


async def test_without_a_user_there_is_no_topic() -> None:
    orchestrator = ScriptedOrchestrator({})
    assert (await TopicCheck(orchestrator, TRAVEL).find(Subject(()), {}, timeout_s=1)).hits == ()
    assert orchestrator.asked == []


@pytest.mark.parametrize(
    ("check", "label"),
    [
        (SizeCheck(max_chars=10), None),
        (SizeCheck(max_chars=9), "chars"),
        (SizeCheck(max_messages=2), None),
        (SizeCheck(max_messages=1), "messages"),
    ],
)
async def test_more_than_the_largest_size_is_found(check: SizeCheck, label: str | None) -> None:
    subject = Subject((Passage("0123456789"),), chars=10, messages=2)
    finding = await check.find(subject, {}, timeout_s=1)
    assert (finding.label, bool(finding.hits)) == (label, label is not None)
