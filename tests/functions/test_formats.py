from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.functions.formats import FORMATS
from router.functions.schema import TargetSchema
from router.functions.targets import Parameter, Target

GOOD = {
    "date": ["2026-03-31", "2024-02-29"],
    "time": ["14:30", "14:30:00", "14:30:00.5+02:00", "14:30Z"],
    "date-time": ["2026-03-31T14:30:00Z", "2026-03-31 14:30", "2026-03-31T14:30:00.123-05:00"],
    "duration": ["P1D", "PT2H30M", "P3W", "P1Y2M3DT4H5M6.5S"],
    "email": ["bob@example.com", "b.o'b+tag@mail.example.co.uk"],
    "hostname": ["localhost", "api-1.example.com"],
    "ipv4": ["192.0.2.1"],
    "ipv6": ["2001:db8::1"],
    "uri": ["https://example.com/a?b=c", "mailto:bob@example.com"],
    "uuid": ["123E4567-e89b-12d3-a456-426614174000"],
}
BAD = {
    "date": ["2026-02-30", "31.03.2026", "20260331", "tomorrow", "2026-03-31\n"],
    "time": ["25:00", "14:61", "2 pm", "14"],
    "date-time": ["2026-03-31", "2026-03-31T", "2026-02-30T10:00", "now"],
    "duration": ["P", "PT", "1 day", "P1DT"],
    "email": [
        "bob",
        "bob@",
        "@example.com",
        "bob@localhost",
        "a b@example.com",
        "bob@example..com",
        "x@y.z\r\nBcc: all",
    ],
    "hostname": ["-a.example", "a..b", "a b", "", "x" * 64],
    "ipv4": ["192.0.2", "256.0.0.1", "2001:db8::1"],
    "ipv6": ["192.0.2.1", "fe80::1%eth0", "::g"],
    "uri": ["example.com", "http://", "https://a b", "http://[::1"],
    "uuid": ["123e4567", "123e4567-e89b-12d3-a456-42661417400g"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_what_has_the_format_is_taken(name: str, text: str) -> None:
    assert FORMATS[name](text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_what_has_it_not_is_refused_with_an_example(name: str, text: str) -> None:
    assert not FORMATS[name](text)
    if text.strip() == text and text:
        schema = TargetSchema(Target("t", "T.", (Parameter("p", "P", format=name),)))
        (problem,) = schema.check({"p": text}).problems
        assert problem.reason is not None
        assert problem.reason.startswith("has to be written as a")


def test_every_format_is_tried() -> None:
    assert set(GOOD) == set(BAD) == set(FORMATS)


@given(st.text())
def test_any_text_has_a_format_or_not(text: str) -> None:
    for is_one in FORMATS.values():
        assert is_one(text) in {True, False}
