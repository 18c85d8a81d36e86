from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from router.pii.findings import Entity, Finding
from router.pii.placeholders import Placeholders, StreamRestorer


def known(*values: tuple[Entity, str]) -> Placeholders:
    placeholders = Placeholders()
    placeholders.add(Finding(entity, 0, len(value), 0.9, value) for entity, value in values)
    return placeholders


ANNA = known(("PERSON", "Anna Berg"), ("EMAIL_ADDRESS", "anna@example.com"), ("PERSON", 'Ma\n"Lu" \\ O\'B'))


def test_equal_values_have_equal_placeholders_and_others_count_on() -> None:
    text = "Anna, Bob, Anna"
    found = [
        Finding("PERSON", 0, 4, 1, "Anna"),
        Finding("PERSON", 6, 9, 1, "Bob"),
        Finding("PERSON", 11, 15, 1, "Anna"),
    ]
    assert Placeholders().replace(text, found) == "<PERSON_1>, <PERSON_2>, <PERSON_1>"


def test_restoring_undoes_replacing() -> None:
    placeholders = Placeholders()
    found = [Finding("PERSON", 3, 7, 1, "Anna")]
    assert placeholders.restore(placeholders.replace("hi Anna!", found)) == "hi Anna!"


def test_placeholders_that_somebody_wrote_are_not_given_out() -> None:
    placeholders = Placeholders()
    placeholders.reserve(["what is <PERSON_1>?", "and <PERSON_3>?"])
    placeholders.add(Finding("PERSON", 0, 4, 1, value) for value in ("Anna", "Bobo"))
    assert placeholders.restore("<PERSON_1> <PERSON_2> <PERSON_3> <PERSON_4>") == "<PERSON_1> Anna <PERSON_3> Bobo"


def test_unknown_placeholders_stay() -> None:
    assert ANNA.restore("<PERSON_7> <b> <PERSON_1>") == "<PERSON_7> <b> Anna Berg"


def test_values_in_json_are_escaped() -> None:
    encoded = ANNA.restore('{"to": "<PERSON_2>", "x": "\\u003cPERSON_1\\u003e"}', "json")
    assert json.loads(encoded) == {"to": 'Ma\n"Lu" \\ O\'B', "x": "Anna Berg"}


def test_an_escaped_backslash_is_no_bracket() -> None:
    text = '"\\\\u003cPERSON_1\\\\u003e"'
    assert ANNA.restore(text, "json") == text


def test_a_value_is_found_again_where_nothing_says_what_it_is() -> None:
    assert [(one.start, one.end) for one in ANNA.mentions("Anna Berg, Anna Bergs, xAnna Berg")] == [(0, 9)]


def test_representations_have_no_values() -> None:
    assert "Anna" not in repr(ANNA)
    assert "<PERSON_1>" in repr(ANNA)


TEXTS = st.lists(
    st.sampled_from(
        [
            *"<>_1P\\u",
            "<PERSON_1>",
            "<PERSON_2>",
            "<EMAIL_ADDRESS_1>",
            "<PERSON_9>",
            "<PERSON",
            "ab ",
            "\\u003c",
            "\\\\",
            "é",
        ]
    ),
    max_size=12,
).map("".join)


@given(TEXTS, st.data())
def test_a_stream_says_what_the_whole_text_does_wherever_it_is_cut(text: str, data: st.DataObject) -> None:
    for syntax in ("text", "json"):
        restorer = StreamRestorer(ANNA, syntax)
        said, start = "", 0
        while start < len(text):
            end = data.draw(st.integers(start + 1, len(text)))
            said += restorer.feed(text[start:end])
            assert len(restorer.held()) <= 64
            start = end
        assert said + restorer.finish() == ANNA.restore(text, syntax)


def test_every_cut_of_a_placeholder_is_restored() -> None:
    for syntax, text in (("text", "Hi <PERSON_1>, bye"), ("json", '{"a":"\\u003cPERSON_1\\u003e","b":"<PERSON_1>"}')):
        whole = ANNA.restore(text, syntax)  # type: ignore[arg-type]
        for first in range(len(text) + 1):
            for second in range(first, len(text) + 1):
                restorer = StreamRestorer(ANNA, syntax)  # type: ignore[arg-type]
                pieces = [text[:first], text[first:second], text[second:]]
                assert "".join(map(restorer.feed, pieces)) + restorer.finish() == whole
