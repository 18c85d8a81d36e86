from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.context import RouteDescription, Turn
from router.routing.prompt import CHARS_PER_TOKEN, MAX_TURNS, fit, shorten, turns


def test_only_user_and_assistant_text_is_seen() -> None:
    messages = [
        {"role": "system", "content": "secret"},
        {"role": "developer", "content": "secret"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "tool", "content": "secret"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "  "},
    ]
    assert turns(messages) == [Turn("user", "Hi"), Turn("assistant", "Hello")]


def test_the_newest_turns_are_kept() -> None:
    messages = [{"role": "user", "content": str(i)} for i in range(MAX_TURNS + 5)]
    assert [turn.content for turn in turns(messages)] == [str(i) for i in range(5, MAX_TURNS + 5)]


def test_descriptions_count_against_the_budget() -> None:
    conversation = [Turn("user", "a" * 40), Turn("user", "b" * 40)]
    assert len(fit(conversation, [], max_tokens=20)) == 2
    assert fit(conversation, [RouteDescription("n", "d" * 20)], max_tokens=20) == [conversation[1]]


def test_an_overlong_newest_message_loses_its_middle() -> None:
    (turn,) = fit([Turn("user", "h" * 500 + "t" * 500)], [], max_tokens=25)
    assert turn.content == "h" * 59 + "…" + "t" * 40


@given(st.text(st.characters(exclude_characters="…"), max_size=300), st.integers(1, 200))
def test_shortened_text_is_a_head_and_a_tail_within_the_limit(text: str, limit: int) -> None:
    short = shorten(text, limit)
    head, ellipsis, tail = short.partition("…")
    assert len(short) == min(limit, len(text))
    assert bool(ellipsis) == (len(text) > limit)
    assert text.startswith(head)
    assert text.endswith(tail)


@given(st.lists(st.text(min_size=1, max_size=50), min_size=1, max_size=30), st.integers(1, 60))
def test_what_fits_is_a_tail_of_the_conversation(texts: list[str], max_tokens: int) -> None:
    conversation = [Turn("user", text) for text in texts]
    kept = fit(conversation, [], max_tokens=max_tokens)
    assert len(kept) >= 1
    assert sum(len(turn.content) for turn in kept) <= max(max_tokens * CHARS_PER_TOKEN, CHARS_PER_TOKEN)
    assert kept[1:] == (conversation[-(len(kept) - 1) :] if len(kept) > 1 else [])
