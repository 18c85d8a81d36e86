from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.signals.lexicon import lexicon
from router.signals.plain_text import MAX_SENTENCES, Normalizer, own_words, sentences


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("That\u2019s NOT it", "that is not it"),
        ("thats not it", "that is not it"),
        ("I can't, I won't", "i can not , i will not"),
        ("C'est ça", "c est ca"),
        ("Straße", "strasse"),
        ("soooo goooood", "so good"),
        ("ｔｈａｎｋｓ", "thanks"),  # noqa: RUF001
        ("go-ahead - now", "go ahead , now"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert lexicon().normalizer.normal(text) == normal


def test_a_question_is_known_by_its_mark() -> None:
    found = sentences("It is 4.2.1 now. Is it? Yes!", lexicon().normalizer)
    assert [(one.plain, one.question) for one in found] == [("it is 4 2 1 now", False), ("is it", True), ("yes", False)]


def test_of_a_long_message_only_the_ends_are_taken() -> None:
    found = sentences(" ".join(f"Line {number}." for number in range(500)), lexicon().normalizer)
    assert [one.plain for one in (found[0], found[-1])] == ["line 0", "line 499"]
    assert len(found) <= MAX_SENTENCES


@given(st.text())
def test_any_text_has_a_normal_form_that_stays_as_it_is(text: str) -> None:
    normalizer = Normalizer({})
    normal = normalizer.normal(own_words(text.encode("utf-8", "replace").decode()))
    assert normalizer.normal(normal) == normal or not normal.isascii()
