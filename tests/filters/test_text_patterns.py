from __future__ import annotations

from collections.abc import Sequence

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from router.filters.answer_texts import TextBlocked
from router.filters.text_patterns import ArgumentsText, PatternSet, TextPattern, TextStream

KEY = r"sk-[A-Za-z0-9]{8,}"
PATTERNS = [
    KEY,
    r"\b\d{3}-\d{4}\b",
    r"(?m)^secret:.*$",
    r"(?s)BEGIN.+?END",
    r"(?i)straße \d+",
    r"a|ab|abc",
    r"foo\B",
    r"\Bx+",
    r"ü{2,}",
    r"abcab|ca",
]


def _set(*patterns: str, action: str = "redact", replacement: str = "[x]") -> PatternSet:
    return PatternSet([TextPattern("p", each, action, replacement, "Not here.") for each in patterns])  # type: ignore[arg-type]


def _streamed(pieces: Sequence[str], *patterns: str) -> str:
    stream = TextStream(_set(*patterns), 1000)
    return "".join([stream.feed(piece) for piece in pieces]) + stream.finish()


def test_a_secret_is_found_wherever_the_stream_is_cut() -> None:
    text = "Grüße! The key is sk-AbCdEfGh12345 ☀ keep it."
    want = "Grüße! The key is [x] ☀ keep it."
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            pieces = [text[:first], text[first:second], text[second:]]
            assert _streamed(pieces, KEY) == want, pieces
    assert _streamed(list(text), KEY) == want


WORDS = [*"abcfox skBEGIND0123-\n:üSecret", "straße ", "sk-AAAAAAAA", "secret:"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=40).map("".join)


@given(st.sampled_from(PATTERNS), st.lists(TEXTS, max_size=8))
@example(r"(?m)^secret:.*$", ["a", "\nsecret: b", "\n", "secret:c"])
@example(r"\b\d{3}-\d{4}\b", ["1", "123-4567", "8"])
@example(r"foo\B", ["foo", "foo!"])
def test_a_stream_gives_what_the_whole_text_gives(pattern: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    want = re2.compile(pattern).sub("[x]", text)
    assert _set(pattern).rewrite(text) == want
    assert _streamed(pieces, pattern) == want


@given(st.lists(st.sampled_from(PATTERNS), min_size=2, max_size=3), st.lists(TEXTS, max_size=6))
def test_several_patterns_work_one_after_the_other(patterns: list[str], pieces: list[str]) -> None:
    want = "".join(pieces)
    for pattern in patterns:
        want = re2.compile(pattern).sub("[x]", want)
    assert _streamed(pieces, *patterns) == want


def test_only_what_may_be_the_beginning_of_a_match_waits() -> None:
    stream = TextStream(_set(KEY), 1000)
    assert stream.feed("Nothing to see, ask") == "Nothing to see, a"
    assert (stream.holds, stream.held()) == (True, "sk")
    assert stream.feed("ing again.") == "sking again."
    assert (stream.holds, stream.held()) == (False, "")


def test_text_that_is_not_changed_is_the_same_object() -> None:
    text = "nothing here"
    assert _set(KEY).rewrite(text) is text


def test_patterns_that_do_not_fit_into_one_search_work_all_the_same() -> None:
    stream = TextStream(_set("(?P<n>sk-[0-9]+)", "(?P<n>ab+)"), 1000)
    assert stream.feed("k sk-1") + stream.feed("2 a") + stream.feed("bb c") + stream.finish() == "k [x] [x] c"


def test_a_replacement_is_no_template() -> None:
    assert _set(KEY, replacement=r"\0 $1").rewrite("sk-AAAAAAAA") == r"\0 $1"


@pytest.mark.parametrize("cut", range(12))
def test_a_blocking_pattern_lets_nothing_of_the_match_out(cut: int) -> None:
    stream = TextStream(_set(KEY, action="block"), 1000)
    secret = "sk-AbCdEfGhI"
    out = stream.feed("So: " + secret[:cut])
    with pytest.raises(TextBlocked, match=r"Not here\."):
        stream.feed(secret[cut:] + ".")
    assert out == "So: "


def test_a_blocking_pattern_at_the_very_end_is_found_at_the_end() -> None:
    stream = TextStream(_set(KEY, action="block"), 1000)
    assert stream.feed("sk-AbCdEfGhI") == ""
    with pytest.raises(TextBlocked):
        stream.finish()


def test_what_waits_is_bounded_and_nothing_is_lost() -> None:
    stream = TextStream(_set("a+", r"x.*y"), 10)
    assert stream.feed("b xa") == "b "
    with pytest.raises(OverflowError):
        stream.feed("w" * 20)
    assert stream.held() == "xa"
    assert stream.finish() == "x[x]"


def test_a_pattern_that_makes_others_backtrack_does_not() -> None:
    patterns = _set(r"(?:a+)+b(?:a|aa)+$")
    text = "a" * 50_000
    assert patterns.rewrite(text) is text


@pytest.mark.parametrize("pattern", ["(", "a*", r"(?=x)y", r"\b", r"(?:a|\B)", r"(?m)^$", "a{0}", "(?:a?b?)+"])
def test_what_is_no_usable_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="The pattern 'p'"):
        _set(pattern)


@pytest.mark.parametrize("cut", range(1, 50, 3))
def test_arguments_are_read_as_json_so_that_no_escape_hides_a_secret(cut: int) -> None:
    arguments = r'{"to": "x", "data": ["s\u006b-AAAAAAAA", {"id": "sk-BBBBBBBB\n"}]}'
    text = ArgumentsText(_set(KEY).rewrite, 1000)
    assert text.feed(arguments[:cut]) + text.feed(arguments[cut:]) == ""
    assert text.held() == arguments
    assert text.finish() == r'{"to":"x","data":["[x]",{"id":"[x]\n"}]}'
    assert not text.holds


def test_arguments_that_are_no_json_are_read_as_they_stand_and_good_ones_stay_as_they_were() -> None:
    text = ArgumentsText(_set(KEY).rewrite, 1000)
    text.feed('{"a": "sk-AAAAAAAA')
    assert text.finish() == '{"a": "[x]'
    text.feed('{"a":  1.50}')
    assert text.finish() == '{"a":  1.50}'


def test_arguments_that_never_end_are_refused() -> None:
    text = ArgumentsText(_set(KEY).rewrite, 5)
    text.feed("12345")
    with pytest.raises(OverflowError):
        text.feed("6")
    assert text.held() == "12345"
