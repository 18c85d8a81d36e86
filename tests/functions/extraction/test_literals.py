from __future__ import annotations

import pytest

from router.functions.extraction.literals import literals, pattern_of
from router.functions.extraction.names import countries, currencies, languages
from router.functions.extraction.words import MAX_CHARS, akin, tokens_of
from tests.functions.extraction.readings import read


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('say "hi there" to him', "quoted", "hi there"),
        ("say 'it's late' to him", "quoted", "it's late"),
        ("dis « bonjour » à lui", "quoted", "bonjour"),
        ("mail kim.lee+x@mail.example.com.", "email", "kim.lee+x@mail.example.com"),
        ("see https://a.example.com/x?y=1, now", "uri", "https://a.example.com/x?y=1"),
        ("call +44 20 7946 0958 today", "phone", "+442079460958"),
        ("call 0049 30 1234567 today", "phone", "+49301234567"),
        ("call 020 7946 0958 today", "phone", "02079460958"),
        ("to CH93 0076 2011 6238 5295 7 please", "iban", "CH9300762011623852957"),
        ("id 123E4567-e89b-12d3-a456-426614174000", "uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("ping 10.0.0.254 now", "ipv4", "10.0.0.254"),
        ("reboot web-01 now", "code", "web-01"),
    ],
)
def test_literals_are_found_as_they_are(text: str, kind: str, value: str) -> None:
    assert (kind, value) in [(each.kind, each.value) for each in literals(text)]


@pytest.mark.parametrize("text", ["on 2025-09-22", "a 4-star hotel", "3kg", "don't and can't", "@home", "CH0000762011"])
def test_what_only_looks_like_a_literal_is_none(text: str) -> None:
    assert [each for each in literals(text) if each.kind not in {"code"} or each.value in {"4-star", "3kg"}] == []


def test_a_quotation_hides_what_is_in_it() -> None:
    assert [each.kind for each in literals("send 'mail me at jo@example.com' now")] == ["quoted"]


def test_an_example_becomes_a_pattern() -> None:
    pattern = pattern_of(["A-12345"])
    assert pattern is not None
    assert [each[0] for each in pattern.finditer("b-11223, A-123456, A-12, 12345 and XA-12345")] == [
        "b-11223",
        "A-123456",
    ]


def test_names_become_codes() -> None:
    found = countries().find(tokens_of("from the United States to Österreich, Cote d'Ivoire and CH"))
    assert [each.code for each in found] == ["US", "AT", "CI", "CH"]
    assert [each.code for each in languages().find(tokens_of("from Greek into allemand"))] == ["el", "de"]
    assert [each.code for each in currencies().find(tokens_of("zlotys, Swiss francs, yen, £ and CAD"))] == [
        "PLN", "CHF", "JPY", "GBP", "CAD",
    ]  # fmt: skip


def test_words_of_everyday_are_no_codes() -> None:
    tokens = tokens_of("so it is in no bar to me, my all")
    assert (countries().find(tokens), languages().find(tokens), currencies().find(tokens)) == ((), (), ())


@pytest.mark.parametrize(
    ("one", "other"), [("dentist", "dentistry"), ("softly", "soft"), ("cities", "city"), ("insured", "insurance")]
)
def test_forms_of_a_word_are_akin(one: str, other: str) -> None:
    assert akin(one, other)


@pytest.mark.parametrize(("one", "other"), [("car", "card"), ("sick", "stick"), ("public", "republic"), ("in", "inn")])
def test_different_words_are_not_akin(one: str, other: str) -> None:
    assert not akin(one, other)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1",
        "1-",
        "'a",
        '"',
        "a@",
        "a.",
        "www.",
        "1:",
        "a-1",
        "+1 ",
        "DE12 ",
        "and ",
        "one ",
        "half past ",
        "in 5 ",
        "é",
    ],
)
def test_of_a_long_repetitive_text_only_the_beginning_is_read(piece: str) -> None:
    reading = read(piece * 200_000)
    assert len(reading.text) <= MAX_CHARS
    assert len(reading.tokens) <= 400
