from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from router.errors import ModelUnavailable
from router.pii.placeholders import Placeholders
from router.pii.redactor import DetectionPolicy, Redactor


@dataclass(frozen=True)
class Span:
    label: str
    start: int
    end: int
    score: float = 0.9


class Model:
    """Labels the words that it was given, wherever they stand."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self.asked: list[str] = []
        self.gone = False

    async def find(self, texts: Sequence[str], *, timeout_s: float) -> list[list[Span]]:
        if self.gone:
            raise ModelUnavailable("gone")
        self.asked += texts
        return [sorted(self._spans(text), key=lambda span: span.start) for text in texts]

    def _spans(self, text: str) -> list[Span]:
        spans = []
        for word, label in self.labels.items():
            start = text.find(word)
            while start >= 0:
                spans.append(Span(label, start, start + len(word)))
                start = text.find(word, start + 1)
        return spans


async def found(text: str, **labels: str) -> list[tuple[str, str]]:
    redactor = Redactor(DetectionPolicy(), Model({word.replace("_", " "): label for word, label in labels.items()}))
    [findings] = await redactor.find_all([text], timeout_s=5)
    return [(finding.entity, finding.text) for finding in findings]


async def test_the_parts_of_a_name_are_one_person() -> None:
    assert await found("Dear Anna O'Berg,", Anna="GIVEN_NAME", O="SURNAME", Berg="SURNAME") == [
        ("PERSON", "Anna O'Berg")
    ]


async def test_a_surname_that_the_model_has_not_seen_belongs_to_the_given_name() -> None:
    assert await found("ask Anna Bergström today", Anna="GIVEN_NAME") == [("PERSON", "Anna Bergström")]
    assert await found("ask Anna whether", Anna="GIVEN_NAME") == [("PERSON", "Anna")]


async def test_two_people_are_two() -> None:
    assert len(await found("Anna, Bo and Cy", Anna="GIVEN_NAME", Bo="GIVEN_NAME", Cy="GIVEN_NAME")) == 3


async def test_the_parts_of_an_address_are_one() -> None:
    text = "at 12 Elm Street, Suite 41, Springfield, IL."
    labels = {"12": "BUILDING_NUMBER", "Elm_Street": "STREET_NAME", "41": "SECONDARY_ADDRESS", "Springfield": "CITY", "IL": "STATE"}  # fmt: skip  # noqa: E501
    assert await found(text, **labels) == [("ADDRESS", "12 Elm Street, Suite 41, Springfield, IL")]


async def test_a_number_alone_is_no_address() -> None:
    assert await found("row 1000 of 88231", **{"1000": "BUILDING_NUMBER", "88231": "ZIP_CODE"}) == []


async def test_a_city_alone_is_not_looked_for_unless_it_is_chosen() -> None:
    assert await found("the rents of Austin", Austin="CITY") == []
    redactor = Redactor(DetectionPolicy(entities=("LOCATION",)), Model({"Austin": "CITY"}))
    [[finding]] = await redactor.find_all(["the rents of Austin"], timeout_s=5)
    assert finding.entity == "LOCATION"


async def test_the_model_alone_makes_no_number_a_persons() -> None:
    assert await found("part 4432-9981 is out", **{"4432-9981": "TAX_ID"}) == []
    assert await found("tax id 4432-9981", **{"4432-9981": "TAX_ID"}) == [("TAX_ID", "4432-9981")]


async def test_patterns_win_over_the_model() -> None:
    assert await found("mail anna@example.com", anna="GIVEN_NAME") == [("EMAIL_ADDRESS", "anna@example.com")]


async def test_a_long_text_is_read_in_pieces_and_nothing_is_lost_at_their_ends() -> None:
    text = "Anna Berg was here. " * 1200
    model = Model({"Anna": "GIVEN_NAME", "Berg": "SURNAME"})
    [findings] = await Redactor(DetectionPolicy(), model).find_all([text], timeout_s=5)
    assert max(map(len, model.asked)) <= 4000
    assert [finding.text for finding in findings] == ["Anna Berg"] * 1200


async def test_a_text_is_asked_about_once() -> None:
    model = Model({"Anna": "GIVEN_NAME"})
    redactor = Redactor(DetectionPolicy(), model)
    for _ in range(3):
        await redactor.find_all(["Anna", "who?", "Anna", " "], timeout_s=5)
    assert model.asked == ["Anna", "who?"]


async def test_spans_outside_of_the_text_are_dropped() -> None:
    class Wrong(Model):
        def _spans(self, text: str) -> list[Span]:
            return [Span("GIVEN_NAME", 2, 90), Span("SURNAME", 3, 3), Span("NEW_LABEL", 0, 2)]

    [findings] = await Redactor(DetectionPolicy(), Wrong({})).find_all(["Anna Berg"], timeout_s=5)
    assert findings == []


async def test_without_the_model_nothing_is_said() -> None:
    model = Model({})
    model.gone = True
    with pytest.raises(ModelUnavailable):
        await Redactor(DetectionPolicy(), model).find_all(["a@example.com"], timeout_s=5)


async def test_the_same_value_has_the_same_placeholder_in_every_text() -> None:
    redactor = Redactor(DetectionPolicy())
    placeholders = Placeholders()
    texts = ["card 4111 1111 1111 1111", "(4111 1111 1111 1111) and 5555-5555-5555-4444"]
    found = await redactor.find_all(texts, timeout_s=5)
    found[1] = [one for one in found[1] if one.text.startswith("5")]  # the first is only known from the other text
    assert await redactor.pseudonymise(texts, found, placeholders) == [
        "card <CREDIT_CARD_1>",
        "(<CREDIT_CARD_1>) and <CREDIT_CARD_2>",
    ]
