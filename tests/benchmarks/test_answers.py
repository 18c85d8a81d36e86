from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from benchmarks.answers import Expected
from benchmarks.mock_agent import json_answer, stream_parts
from benchmarks.prompts import Dialect
from router.dialects import anthropic_messages
from router.dialects.canonical import ChatRequest, chunk, chunk_base

WORDS = ["word0", " word1", " word2"]
_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunked(*parts: bytes) -> bytes:
    return _HEAD + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _messages(words: Sequence[str], *, ended: bool = True) -> bytes:
    encoder = anthropic_messages.stream_encoder(ChatRequest({"model": "m", "messages": []}))
    base = chunk_base("m")
    events = b"".join(encoder.feed(chunk({"content": word}, base=base)) for word in words)
    return events + (encoder.finish() if ended else b"")


def _chat(words: Sequence[str], *, ended: bool = True) -> bytes:
    base = chunk_base("m")
    events = [json.dumps(chunk({"content": word}, base=base)).encode() for word in words]
    return b"".join(b"data: %b\n\n" % event for event in [*events, b"[DONE]"][: None if ended else -1])


def _stream(dialect: Dialect, words: Sequence[str], *, ended: bool = True) -> bytes:
    return (_messages if dialect == "messages" else _chat)(words, ended=ended)


def test_the_mocks_own_answers_are_right() -> None:
    expected = Expected("chat", 5)
    assert expected.is_answer(json_answer(5))
    assert expected.is_stream(b"".join(stream_parts(5)))
    assert not expected.is_answer(json_answer(4))
    assert not expected.is_answer(json_answer(5).replace(b"200 OK", b"500 No"))


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_a_stream_says_every_word_once_and_in_order(dialect: Dialect) -> None:
    expected = Expected(dialect, 3)
    whole = _stream(dialect, WORDS)
    assert expected.is_stream(_chunked(whole))
    assert expected.is_stream(_chunked(*(whole[i : i + 7] for i in range(0, len(whole), 7))))
    wrong = (WORDS[:2], [*WORDS, " word3"], [*WORDS, WORDS[2]], [WORDS[0], WORDS[2], WORDS[1]], ["word0", "word1"], [])
    assert not any(expected.is_stream(_chunked(_stream(dialect, words))) for words in wrong)


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_a_stream_that_is_not_ended_is_wrong(dialect: Dialect) -> None:
    expected = Expected(dialect, 3)
    assert not expected.is_stream(_chunked(_stream(dialect, WORDS, ended=False)))
    assert not expected.is_stream(_chunked(_stream(dialect, WORDS)).removesuffix(b"0\r\n\r\n"))
    assert not expected.is_stream(_HEAD.replace(b"200 OK", b"503 No") + _chunked(_stream(dialect, WORDS))[len(_HEAD) :])


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_the_first_token_shows_in_the_bytes_of_the_first_word_only(dialect: Dialect) -> None:
    expected = Expected(dialect, 1)
    assert expected.first_token not in _HEAD
    assert _stream(dialect, ["word0"]).count(expected.first_token) == 1
