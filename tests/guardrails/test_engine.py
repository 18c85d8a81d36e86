from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.aio import timeout
from router.errors import ModelUnavailable
from router.guardrails.engine import Guard, judge, judge_one
from router.guardrails.scores import ScoredModel
from router.guardrails.texts import Passage, Subject
from tests.fakes.models import ScriptedClassifier
from tests.guardrails.guarding import ATTACK, guard


def subject(*texts: str, unseen: tuple[str, ...] = ()) -> Subject:
    return Subject(tuple(Passage(text) for text in texts), chars=sum(map(len, texts)), unseen=unseen)


async def test_the_worst_text_decides() -> None:
    judgement = await judge_one(guard(), subject("hello", ATTACK, "bye"), timeout_s=1)
    finding = judgement.finding
    assert (judgement.outcome, finding.label, finding.score) == ("block", "jailbreak", 1.0)
    assert finding.hits == (Passage(ATTACK),)


async def test_a_score_just_under_the_threshold_passes() -> None:
    assert (await judge_one(guard(threshold=1.01), subject(ATTACK), timeout_s=1)).outcome == "pass"


async def test_a_text_is_judged_once() -> None:
    classifier = ScriptedClassifier()
    asked = guard(classifier)
    await judge_one(asked, subject("a", "b", "a"), timeout_s=1)
    assert (await judge_one(asked, subject("a", "b", ATTACK), timeout_s=1)).outcome == "block"
    assert (await judge_one(asked, subject(ATTACK), timeout_s=1)).outcome == "block"
    assert classifier.asked == [["a", "b"], [ATTACK]]


async def test_nothing_to_judge_passes_without_asking() -> None:
    classifier = ScriptedClassifier()
    assert (await judge_one(guard(classifier), subject(), timeout_s=1)).outcome == "pass"
    assert classifier.asked == []


async def test_guards_on_one_model_are_one_batch_and_models_are_asked_at_the_same_time() -> None:
    first, second = ScriptedClassifier(hold=asyncio.Event()), ScriptedClassifier(hold=asyncio.Event())
    shared = ScoredModel(first)
    guards = [guard(shared, name="a"), guard(shared, name="b"), guard(second, name="c")]
    subjects = {"a": subject("one", "two"), "b": subject("two", ATTACK), "c": subject("three")}
    judging = asyncio.ensure_future(judge(guards, lambda each: subjects[each.policy.name], timeout_s=5))
    async with timeout(5):
        while not (first.asked and second.asked):
            await asyncio.sleep(0)
    for classifier in (first, second):
        assert classifier.hold is not None
        classifier.hold.set()
    outcomes = [judgement.outcome for judgement in await judging]
    assert outcomes == ["pass", "block", "pass"]
    assert first.asked == [["one", "two", ATTACK]]


async def test_a_guard_with_less_time_does_not_take_that_of_the_others() -> None:
    classifier = ScriptedClassifier(hold=asyncio.Event())
    shared = ScoredModel(classifier)
    hurried, patient = guard(shared, name="hurried", timeout_s=0.01), guard(shared, name="patient", timeout_s=20)
    judging = asyncio.ensure_future(judge([hurried, patient], lambda _: subject("x"), timeout_s=30))
    only = await judge_one(hurried, subject("y"), timeout_s=30)
    assert only.outcome == "unavailable"
    assert classifier.hold is not None
    classifier.hold.set()
    assert [judgement.outcome for judgement in await judging][1] == "pass"


@pytest.mark.parametrize("position", [0, 7_590, 7_990, 15_500, 29_960])
async def test_a_long_text_is_judged_in_pieces_wherever_the_attack_stands(position: int) -> None:
    classifier = ScriptedClassifier()
    text = "lorem " * 5_000
    text = text[:position] + ATTACK + text[position:]
    assert (await judge_one(guard(classifier), subject(text), timeout_s=5)).outcome == "block"
    assert max(map(len, classifier.asked[0])) <= 8_000


@given(st.integers(0, 40_000))
async def test_every_character_is_in_a_piece(length: int) -> None:
    classifier = ScriptedClassifier()
    text = "".join(chr(0x4E00 + i % 20_000) for i in range(length))
    await judge_one(guard(classifier), subject(text), timeout_s=1)
    rebuilt = ""
    for piece in classifier.asked[0]:
        rebuilt += piece if not rebuilt else piece[400:]
    assert rebuilt == text


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        ({}, "unavailable"),
        ({"on_error": "allow"}, "allowed_unchecked"),
        ({"shadow": True}, "allowed_unchecked"),
    ],
)
async def test_a_model_that_is_gone_is_a_verdict_and_a_warning_and_comes_back(
    policy: dict[str, object], outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = ScriptedClassifier(error=ModelUnavailable("gone"))
    asked: Guard = guard(classifier, **policy)
    with caplog.at_level(logging.WARNING):
        assert (await judge_one(asked, subject("hello"), timeout_s=1)).outcome == outcome
    assert "guard unavailable" in caplog.text
    assert "hello" not in caplog.text
    classifier.error = None
    assert (await judge_one(asked, subject("hello"), timeout_s=1)).outcome == "pass"


@pytest.mark.parametrize(
    ("policy", "text", "outcome"),
    [
        ({}, "hello", "unseen"),
        ({"unseen": "deny"}, "hello", "block"),
        ({"unseen": "deny", "action": "annotate"}, "hello", "block"),
        ({"unseen": "deny", "shadow": True}, "hello", "shadow"),
        ({}, ATTACK, "block"),
        ({"shadow": True}, ATTACK, "shadow"),
        ({"action": "annotate"}, ATTACK, "annotate"),
    ],
)
async def test_what_cannot_be_read_is_said_or_refused(policy: dict[str, object], text: str, outcome: str) -> None:
    judgement = await judge_one(guard(**policy), subject(text, unseen=("image",)), timeout_s=1)
    assert (judgement.outcome, judgement.unseen) == (outcome, ("image",))
