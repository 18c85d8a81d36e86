"""What gets into spans of what was said: shaped as the conventions say, redacted, and never much."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.observer.answers import Answer
from router.observer.content import MAX_MESSAGES, MAX_TEXT_CHARS, ContentCapture
from router.telemetry import semconv
from tests.observer.telling import tool_call


@pytest.fixture(scope="module")
def capture() -> ContentCapture:
    return ContentCapture()


async def told(capture: ContentCapture, messages: list[dict[str, Any]]) -> Any:
    return orjson.loads((await capture.attributes(messages, None))[semconv.INPUT_MESSAGES])


async def test_messages_have_the_shape_of_the_conventions(capture: ContentCapture) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,SECRETPIXELS"}}
    asked = await told(
        capture,
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, picture]},
            {"role": "assistant", "content": None, "tool_calls": [tool_call("see", '{"what": "it"}')]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "a cat"}]},
        ],
    )
    assert asked == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Look:"}, {"type": "image_url"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "call_1", "name": "see", "arguments": '{"what": "it"}'}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "a cat"}]},
    ]


async def test_an_answer_says_why_it_ended(capture: ContentCapture) -> None:
    answer = Answer({"role": "assistant", "content": "Done."}, None, None, "length")
    said = await capture.attributes([], answer)
    assert orjson.loads(said[semconv.OUTPUT_MESSAGES]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Done."}], "finish_reason": "length"}
    ]
    assert semconv.INPUT_MESSAGES not in said


async def test_personal_data_is_nowhere(capture: ContentCapture) -> None:
    secret = "mail jane.doe@example.com, card 4111 1111 1111 1111"
    messages = [
        {"role": "user", "content": secret},
        {"role": "assistant", "tool_calls": [tool_call("send", orjson.dumps({"to": secret}).decode())]},
        {"role": "tool", "tool_call_id": "call_1", "content": secret},
    ]
    said = await capture.attributes(messages, Answer({"role": "assistant", "content": secret}, None, None, None))
    for text in ("jane.doe", "4111"):
        assert text not in repr(said)


async def test_long_texts_are_cut_behind_redaction(capture: ContentCapture) -> None:
    text = "x " * (MAX_TEXT_CHARS // 2 - 5) + "jane.doe@example.com" + " y" * MAX_TEXT_CHARS
    (shown,) = await capture.texts([text])
    assert len(shown) == MAX_TEXT_CHARS + 1
    assert shown.endswith("…")
    assert "jane" not in shown


async def test_a_short_text_is_shown_as_it_is(capture: ContentCapture) -> None:
    assert await capture.texts(["Rain in Oslo?", ""]) == ["Rain in Oslo?", ""]


async def test_all_of_it_has_a_bound_and_the_newest_is_kept(capture: ContentCapture) -> None:
    texts = [f"{number} {'z' * (MAX_TEXT_CHARS - 10)}" for number in range(40)]
    shown = await capture.texts(texts)
    assert sum(map(len, shown)) < 70_000
    assert shown[-1] == texts[-1]
    assert shown[0] == "…"
    asked = await told(capture, [{"role": "user", "content": str(number)} for number in range(100)])
    assert len(asked) == MAX_MESSAGES
    assert asked[-1]["parts"][0]["content"] == "99"


async def test_messages_without_a_shape_are_told_without_what_they_lack(capture: ContentCapture) -> None:
    asked = await told(capture, [{}, {"role": 5, "content": 7}, {"role": "user", "content": [3, {"type": 9}]}])
    assert asked == [
        {"role": "None", "parts": []},
        {"role": "5", "parts": []},
        {"role": "user", "parts": [{"type": "9"}]},
    ]
