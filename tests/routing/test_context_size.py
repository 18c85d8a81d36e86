from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.routing.context_size import characters, estimated_tokens


def test_text_counts_wherever_it_stands() -> None:
    message = {
        "role": "user",
        "content": [{"type": "text", "text": "x" * 400}],
        "tool_calls": [{"function": {"arguments": "y" * 400}}],
    }
    assert 200 <= estimated_tokens([message]) < 210


def test_an_image_counts_the_same_whatever_its_size() -> None:
    def image(size: int) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * size}}

    assert estimated_tokens(image(10)) == estimated_tokens(image(1_000_000)) == 1000


def test_nothing_is_nothing() -> None:
    assert characters(None, [], {}, 5, True) == 0


def test_depth_is_no_danger() -> None:
    value: object = "x"
    for _ in range(100_000):
        value = [value]
    assert characters(value) == 1


@given(st.lists(st.text()))
def test_sizes_add_up(texts: list[str]) -> None:
    assert characters(*texts) == characters(texts) == sum(map(len, texts))


def test_a_type_that_is_no_text_is_no_medium() -> None:
    assert characters({"type": [], "text": "abc"}, {"type": {"kind": "image"}}) == 8
