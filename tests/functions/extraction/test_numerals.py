from __future__ import annotations

import pytest

from router.functions.extraction.numerals import numerals
from router.functions.extraction.vocabulary import Language
from router.functions.extraction.words import tokens_of
from tests.functions.extraction.readings import read


def values(text: str, language: Language = "en") -> list[float]:
    return [each.value for each in numerals(text, tokens_of(text), language)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("2,500.50", 2500.5),
        ("2.500,50", 2500.5),
        ("3,5", 3.5),
        ("1,200", 1200),
        ("1,200,000", 1_200_000),
        ("3k", 3000),
        ("2 million", 2_000_000),
        ("-4", -4),
        ("ten", 10),
        ("twenty-five", 25),
        ("two hundred and fifty", 250),
        ("a hundred", 100),
        ("a dozen", 12),
        ("three dozen", 36),
        ("half a", 0.5),
        ("one and a half million", 1_500_000),
    ],
)
def test_numbers_are_read_in_digits_and_in_words(text: str, value: float) -> None:
    assert values(text) == [value]


@pytest.mark.parametrize(
    ("text", "language", "value"),
    [("einundzwanzig", "de", 21), ("quatre-vingt-dix", "fr", 90), ("treinta y dos", "es", 32), ("vier", "de", 4)],
)
def test_number_words_of_other_languages_are_read(text: str, language: Language, value: float) -> None:
    assert values(text, language) == [value]


def test_numbers_side_by_side_stay_apart() -> None:
    assert values("five six, 7 and 8") == [5, 6, 7, 8]


@pytest.mark.parametrize("text", ["the ones", "a", "and", "o", "Paris", "x" * 5000, ""])
def test_words_that_are_no_numbers_are_none(text: str) -> None:
    assert values(text) == []


def test_an_article_is_a_weak_number_only() -> None:
    [found] = numerals("one", tokens_of("one"), "en")
    assert found.weak


def test_a_number_has_its_unit_and_what_it_counts() -> None:
    kilos, people, hour = read("2.5 kg for four people in an hour").amounts
    assert [each.dimension for each in kilos.units] == ["mass"]
    assert people.counted == "people"
    assert hour.value == 1
    assert hour.units[0].factor == 3600


def test_parts_of_a_duration_are_summed() -> None:
    [found] = read("for 1 hour and 30 minutes").amounts
    assert found.value == 1.5


@pytest.mark.parametrize("text", ["$1,200.75", "1,200.75 dollars", "USD 1,200.75", "1,200.75 USD"])
def test_money_has_its_currency_before_or_behind(text: str) -> None:
    [found] = read(text).amounts
    assert (found.value, found.currency) == (1200.75, "USD")
