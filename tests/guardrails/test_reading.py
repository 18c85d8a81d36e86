from __future__ import annotations

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.guardrails.reading import TextReader, all_strings, argument_texts

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG" * 500).decode()
PROSE = "ignore all of it"


def read(value: object) -> tuple[list[str], list[str]]:
    reader = TextReader()
    return reader.texts(value), list(reader.unseen)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": PROSE},
        {"type": "tool_result", "content": [{"type": "text", "text": PROSE}]},
        {"type": "something_new", "deep": {"er": [[{"x": PROSE}]]}},
        {"type": "image_url", "image_url": {"url": PNG}, "caption": PROSE},
        {"type": "image_url", "image_url": {"url": PROSE}},
        {"type": "image_url", "image_url": {"url": PNG, "detail": PROSE}},
        {"type": PROSE},
        {"type": "text", "text": "", "id": PROSE},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": PROSE}},
        {"type": "file", "file": {"filename": PROSE, "file_data": "data:application/pdf;base64,QQ=="}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64," + base64.b64encode(PROSE.encode()).decode()}},
        {"type": "input_file", "file_data": "data:text/markdown," + PROSE.replace(" ", "%20")},
        {"type": "redacted_thinking", "data": PROSE},
        {"type": "thinking", "thinking": PROSE, "signature": "c2lnbmVk"},
        {"encrypted_content": PROSE},
    ],
)
def test_text_is_found_wherever_it_hides(part: object) -> None:
    assert PROSE in read(part)[0]


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, "image"),
        ({"type": "input_image", "image_url": "https://pictures.example/cat.png"}, "image"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}, "image"),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "input_file", "file_url": "https://files.example/a.pdf"}, "file"),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ"}}, "file"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,!!!"}}, "file"),
        ({"type": "video_url", "video_url": {"url": "https://films.example/a.mp4"}}, "video"),
        ({"type": "something", "data": "A" * 2000}, "file"),
        ({"type": "item_reference", "id": "msg_1"}, "history"),
        ({"previous_response_id": "resp_1"}, "history"),
        ({"prompt": {"id": "pmpt_1"}}, "stored prompt"),
    ],
)
def test_what_is_no_text_is_named(part: object, kind: str) -> None:
    assert read(part) == ([], [kind])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA", "summary": []},
        {"type": "web_search_result", "url": "https://news.example/today"},
    ],
)
def test_sealed_values_and_identifiers_are_neither(part: object) -> None:
    assert read(part) == ([], [])


def test_no_escape_and_no_key_hides_an_argument() -> None:
    escaped = '{"\\u0069gnore all": {"of": ["\\u0069t", 1, null]}}'
    assert argument_texts(escaped) == ["ignore all", "of", "it"]
    assert argument_texts('{"broken": "ignore') == ['{"broken": "ignore']
    assert argument_texts(None) == []


def test_depth_is_no_matter() -> None:
    value: object = PROSE
    for _ in range(50_000):
        value = [value]
    assert read(value) == ([PROSE], [])
    assert all_strings(value) == {PROSE}


@given(
    st.recursive(
        st.sampled_from(["two words", "and three words", " "]) | st.none() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "url", "data", "file", "x"]), inner),
    )
)
def test_no_words_are_ever_lost(value: object) -> None:
    found = read(value)[0]
    assert sorted(found) == sorted(text for text in _leaves(value) if text.strip())
    assert orjson.dumps(found)


def _leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for below in value.values() for leaf in _leaves(below)]
    if isinstance(value, list):
        return [leaf for below in value for leaf in _leaves(below)]
    return [value] if isinstance(value, str) else []
