from __future__ import annotations

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from router.filters.prefix_pattern import prefix_pattern

# Patterns, each with texts that it matches as a whole.
MATCHES = [
    (r"sk-[a-z0-9]{3,6}", ["sk-abc", "sk-a1b2c3"]),
    (r"ab+c", ["abc", "abbbc"]),
    (r"(?:foo|ba[rz]){2}!?", ["foobar", "bazfoo!"]),
    (r"(?i)password:\s*\S+", ["PassWord:  hunter2", "password:x"]),
    (r"(?i:key)=x[^a]y", ["KEY=xAy", "key=x1y"]),
    (r"\b\d{4}(?:[ -]?\d{4}){3}\b", ["4111 1111-11111111", "4111111111111111"]),
    (r"(?s)BEGIN.*?END", ["BEGINEND", "BEGIN\nab\nEND"]),
    (r"\Qa.b(\E{2}c", ["a.b((c"]),
    (r"[[:alpha:]\]x-]+\.\x{1F600}", ["ab]-.\U0001f600"]),
    (r"(?P<who>\pL+)@(?<where>\p{Greek}{1,2})", ["müller@αβ"]),
    (r"^from: (a|)b$", ["from: ab", "from: b"]),
    (r"(?U)a+?b*|\x41\101", ["aab", "AA"]),
    (r"(((x{0}y){2,})z)?w", ["w", "yyzw", "yyyyzw"]),
    (r"a(?i)b|c", ["aB", "C"]),
]


@pytest.mark.parametrize(("pattern", "texts"), MATCHES)
def test_every_beginning_of_a_match_is_matched(pattern: str, texts: list[str]) -> None:
    whole, prefix = re2.compile(pattern), re2.compile(prefix_pattern(pattern))
    for text in texts:
        assert whole.fullmatch(text)
        for end in range(len(text) + 1):
            assert prefix.fullmatch(text[:end]), text[:end]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"sk-[a-z]{3}", "sl"), (r"sk-[a-z]{3}", "sk-abcd"), (r"(?i)foo", "bar"), (r"foo", "FO"), (r"ab|cd", "ad")],
)
def test_what_cannot_become_a_match_is_not_matched(pattern: str, text: str) -> None:
    assert not re2.compile(prefix_pattern(pattern)).fullmatch(text)


LETTERS = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "\\w", "(?i:b)"])
PATTERNS = st.recursive(
    LETTERS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("abAB\n", max_size=8))
def test_prefixes_of_whatever_pattern(pattern: str, text: str) -> None:
    if re2.compile(pattern).fullmatch(text):
        prefix = re2.compile(prefix_pattern(pattern))
        assert all(prefix.fullmatch(text[:end]) for end in range(len(text) + 1))


def test_groups_nested_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        prefix_pattern("(?:" * 40 + "a" + ")" * 40)


@pytest.mark.parametrize("pattern", ["a)", "(a"])
def test_groups_that_do_not_fit_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="group"):
        prefix_pattern(pattern)
