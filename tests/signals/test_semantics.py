from __future__ import annotations

from collections.abc import Sequence

import pytest

from router.signals.analyzer import analyze, texts_to_embed
from router.signals.report import SignalType
from router.signals.semantics import MIN_MARGIN, MIN_SIMILARITY, Meaning, Prototypes, cosine, prototype_texts
from tests.signals.conversations import assistant, exchange, places, user

QUIT: SignalType = "interaction.disengagement.quit"
CLARIFICATION: SignalType = "interaction.misalignment.clarification"


class Always:
    """Says of everything that it is near to one type."""

    def __init__(self, kind: SignalType | None, similarity: float = 0.7) -> None:
        self._nearest = None if kind is None else (kind, similarity)

    def nearest(self, vector: Sequence[float]) -> tuple[SignalType, float] | None:
        return self._nearest


def found(text: str, kind: SignalType | None, *, before: str = "Here you are.") -> list[tuple[int, str]]:
    one = exchange([user("Where is the blue lamp of mine?"), assistant(before), user(text)])
    embeddings = {each: (0.0, 1.0) if each == text else (1.0, 0.0) for each in texts_to_embed(one, None)}
    report, _ = analyze(one, None, Meaning(embeddings, Always(kind)))
    return places(report.signals)


def test_what_no_phrase_says_is_said_by_its_meaning() -> None:
    assert found("I shall take my leave of this endeavour.", QUIT) == [(2, QUIT)]
    assert found("I shall take my leave of this endeavour.", None) == []


@pytest.mark.parametrize(
    "text",
    [
        "Is it time to take my leave?",
        "He said that he takes his leave.",
        "If it rains I take my leave.",
        "Write that I take my leave.",
    ],
)
def test_meaning_has_the_guards_of_phrases(text: str) -> None:
    assert found(text, QUIT) == []


def test_a_phrase_wins_over_what_a_message_seems_to_mean() -> None:
    assert found("Thank you!", QUIT) == [(2, "interaction.satisfaction.gratitude")]


def test_a_question_may_ask_for_clarification() -> None:
    assert found("Pray, to what end?", CLARIFICATION) == [(2, CLARIFICATION)]


def test_the_same_meaning_in_other_words_is_a_rephrase() -> None:
    messages = [user("Where did you put my lamp?"), assistant("In a box."), user("The lamp, what is its location?")]
    texts = texts_to_embed(exchange(messages), None)
    report, _ = analyze(exchange(messages), None, Meaning(dict.fromkeys(texts, (1.0, 0.0)), Always(None)))
    assert places(report.signals) == [(2, "interaction.misalignment.rephrase")]


def test_long_messages_and_known_ones_are_not_embedded() -> None:
    messages = [user("Where is it?"), assistant("There."), user("word " * 100), assistant("Ok."), user("And now?")]
    assert texts_to_embed(exchange(messages), None) == ("Where is it?", "And now?")
    _, state = analyze(exchange(messages[:3]), None)
    assert texts_to_embed(exchange(messages), state) == ("And now?",)


def test_a_prototype_has_to_be_near_and_nearer_than_what_says_nothing() -> None:
    near = MIN_SIMILARITY + 0.05
    texts = prototype_texts()
    quits, plain = texts.index("Forget it, I give up."), texts.index("How much does it cost?")
    vectors = dict.fromkeys(texts, (0.0, 0.0, 1.0))
    vectors[texts[quits]] = (1.0, 0.0, 0.0)
    vectors[texts[plain]] = (0.0, 1.0, 0.0)
    prototypes = Prototypes(vectors)
    assert prototypes.nearest((near, 0.0, 0.0)) == (QUIT, near)
    assert prototypes.nearest((near, near - MIN_MARGIN + 0.01, 0.0)) is None
    assert prototypes.nearest((MIN_SIMILARITY - 0.01, 0.0, 0.0)) is None


def test_every_prototype_needs_its_vector() -> None:
    with pytest.raises(KeyError):
        Prototypes({})


def test_what_cannot_be_compared_is_not_similar() -> None:
    assert cosine((1.0,), (1.0, 0.0)) == 0.0
    assert cosine((float("nan"),), (1.0,)) == 0.0
