from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.canonical import DialectName, JsonObject, chunk, chunks_of, completion
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import FilterUnavailable, InvalidRequest
from router.filters import answer_texts
from router.filters.base import Rejection
from router.filters.chain import FilterChain
from router.filters.policy import FilterPolicy, PolicedFilter
from router.filters.regex import RegexFilter
from router.filters.text_patterns import TextPattern
from tests.fakes.counters import RecordedMetrics
from tests.filters.exchanges import (
    BASE,
    assembled,
    context,
    finish_of,
    request,
    said,
    text_of,
    texts_of,
    through,
    whole,
)

SECRET = "sk-AbCdEfGh1234"
REDACT = TextPattern("key", r"sk-[A-Za-z0-9]{8,}", "redact", "[key]", "")
BLOCK = TextPattern("falcon", r"(?i)project\s+falcon", "block", "", "That is confidential.")


def _filter(*patterns: TextPattern, max_match_bytes: int = 4096) -> RegexFilter:
    return RegexFilter("secrets", patterns, patterns, max_match_bytes=max_match_bytes)


async def _answer(batches: list[list[JsonObject]], *patterns: TextPattern, **policy: Any) -> list[list[JsonObject]]:
    max_match_bytes = policy.pop("max_match_bytes", 4096)
    filter_ = _filter(*patterns or (REDACT,), max_match_bytes=max_match_bytes)
    policed = PolicedFilter(filter_, FilterPolicy(**policy), RecordedMetrics().metrics)
    return await through(FilterChain([], [policed]).transform(request(), context()), batches)


# Requests


async def test_a_request_without_a_match_stays_as_it_came() -> None:
    asked = request("Nothing in here")
    assert await _filter(REDACT, BLOCK).on_request(asked, context()) is asked


async def test_a_match_is_taken_out_and_unknown_fields_stay() -> None:
    changed = await _filter(REDACT).on_request(request(f"use {SECRET}!", seed=7), context())
    assert not isinstance(changed, Rejection)
    assert changed.payload == {"model": "m", "messages": [{"role": "user", "content": "use [key]!"}], "seed": 7}  # type: ignore[union-attr]


async def test_a_blocked_request_is_rejected_with_400() -> None:
    assert await _filter(BLOCK).on_request(request("About Project  Falcon"), context()) == Rejection(
        "That is confidential.", 400
    )


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": r'{"k": "s\u006b-AbCdEfGh1234"}'}}
HIDING_PLACES: list[tuple[DialectName, JsonObject]] = [
    ("openai_chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": SECRET}]}]}),
    ("openai_chat", {"messages": [{"role": "system", "content": SECRET}, {"role": "user", "content": "a"}]}),
    ("openai_chat", {"messages": [{"role": "developer", "content": SECRET}, {"role": "user", "content": "a"}]}),
    ("openai_chat", {"messages": [{"role": "user", "name": SECRET, "content": "a"}]}),
    ("openai_chat", {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]}),
    ("openai_chat", {"messages": [{"role": "tool", "tool_call_id": "c", "content": SECRET}]}),
    ("openai_chat", {"metadata": {"data": SECRET}}),
    ("openai_chat", {"tools": [{"type": "function", "function": {"name": "f", "description": SECRET}}]}),
    ("openai_chat", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": SECRET}}]}]}),
    ("openai_chat", {"an_unknown_field": [{"deep": {"er": SECRET}}]}),
    ("anthropic_messages", {"system": [{"type": "text", "text": SECRET}]}),
    (
        "anthropic_messages",
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "i", "name": "f", "input": {"id": SECRET}}],
                }
            ]
        },
    ),
    (
        "anthropic_messages",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": SECRET}]}
                    ],
                }
            ]
        },
    ),
    (
        "anthropic_messages",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": SECRET}}
                    ],
                }
            ]
        },
    ),
    ("openai_responses", {"instructions": SECRET}),
    ("openai_responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": SECRET}]}]}),
    ("openai_responses", {"input": [{"type": "function_call_output", "call_id": "c", "output": SECRET}]}),
    (
        "openai_responses",
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": CALL["function"]["arguments"]}]},
    ),
]


@pytest.mark.parametrize(("dialect", "fields"), HIDING_PLACES)
async def test_nothing_is_overlooked_wherever_it_hides(dialect: DialectName, fields: JsonObject) -> None:
    asked = request("a", dialect=dialect, **fields)
    changed = await _filter(REDACT).on_request(asked, context())
    assert not isinstance(changed, Rejection)
    forms = orjson.dumps([changed.payload, changed.native, dict(changed.extras)])  # type: ignore[union-attr]
    assert b"AbCdEfGh" not in forms
    assert b"[key]" in forms
    assert changed.dialect == dialect  # type: ignore[union-attr]


async def test_what_only_the_clients_dialect_has_a_word_for_is_looked_at_too() -> None:
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "a"}],
        "container": {"note": SECRET},
    }
    asked = CLIENT_DIALECTS["anthropic_messages"].decode_request(orjson.dumps(body))
    changed = await _filter(REDACT).on_request(asked, context())
    assert changed.native == {**body, "container": {"note": "[key]"}}  # type: ignore[union-attr]


async def test_a_request_that_an_earlier_filter_changed_is_looked_at_in_canonical_form() -> None:
    asked = request("a", dialect="anthropic_messages").replace(messages=[{"role": "user", "content": SECRET}])
    assert asked.native is None
    changed = await _filter(REDACT).on_request(asked, context())
    assert changed.messages == [{"role": "user", "content": "[key]"}]  # type: ignore[union-attr]
    assert changed.dialect == "anthropic_messages"  # type: ignore[union-attr]


async def test_words_of_the_protocol_are_no_text() -> None:
    pattern = TextPattern("word", "user|text|function|call_1", "redact", "x", "")
    tool = {"id": "call_1", "type": "function", "function": {"name": "user", "arguments": "{}"}}
    asked = request(messages=[{"role": "assistant", "tool_calls": [tool]}, {"role": "user", "content": "a"}])
    assert await _filter(pattern).on_request(asked, context()) is asked


async def test_encoded_images_are_no_text() -> None:
    pattern = TextPattern("word", "AAAA", "redact", "x", "")
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked = request(messages=[{"role": "user", "content": [image]}])
    assert await _filter(pattern).on_request(asked, context()) is asked


async def test_large_bodies_and_unicode() -> None:
    text = "Grüße ☀️ 漢字 🎉 " * 60_000
    changed = await _filter(REDACT, BLOCK).on_request(request(text + SECRET), context())
    assert changed.messages[0]["content"] == text + "[key]"  # type: ignore[union-attr]


async def test_what_is_nested_without_end_is_a_failure() -> None:
    nested: Any = SECRET
    for _ in range(200):
        nested = [nested]
    with pytest.raises(RecursionError):
        await _filter(REDACT).on_request(request(metadata={"a": nested}), context())


async def test_a_request_that_is_none_any_more_is_a_failure() -> None:
    asked = request("a", dialect="openai_responses", tool_choice="auto")
    with pytest.raises(InvalidRequest):
        await _filter(TextPattern("a", "auto", "redact", "nonsense", "")).on_request(asked, context())


# Answers


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
async def test_a_secret_in_a_stream_is_redacted_wherever_it_is_cut(first: int, second: int, third: int) -> None:
    text = f"Your key: {SECRET}, ok?"
    cuts = sorted({0, *(min(cut, len(text)) for cut in (first, second, third)), len(text)})
    out = await _answer(said(*[text[a:b] for a, b in pairwise(cuts)]))
    assert (text_of(out), finish_of(out)) == ("Your key: [key], ok?", "stop")


async def test_text_that_is_no_match_is_not_delayed() -> None:
    out = await _answer(said("Just ", "words, ", "as they come."))
    assert texts_of(out) == ["", "Just ", "words, ", "as they come.", ""]


async def test_a_whole_answer_is_redacted() -> None:
    out = await _answer(whole(f"{SECRET} and s"))
    assert (text_of(out), len(out)) == ("[key] and s", 1)


async def test_a_blocked_word_cut_in_two_ends_the_stream_before_it() -> None:
    out = await _answer(said("It is pro", "ject fal", "con."), BLOCK)
    assert (text_of(out), finish_of(out)) == ("It is \n\nThat is confidential.", "content_filter")


async def test_a_whole_blocked_answer_is_only_the_refusal() -> None:
    out = await _answer(whole("It is Project Falcon."), BLOCK)
    assert (text_of(out), finish_of(out)) == ("That is confidential.", "content_filter")


def _delta(**fields: Any) -> list[JsonObject]:
    return [chunk(fields, base=BASE)]


def _call(index: int, arguments: str, **fields: Any) -> JsonObject:
    return {"index": index, **fields, "function": {**({"name": "f"} if fields else {}), "arguments": arguments}}


async def test_tool_calls_wait_behind_text_that_is_not_decided() -> None:
    end = [chunk({}, base=BASE, finish_reason="tool_calls")]
    batches = [_delta(content="As"), _delta(content="k s"), _delta(tool_calls=[_call(0, "{}", id="c")]), end]
    out = await _answer(batches)
    order = [next(iter(each["choices"][0]["delta"]), "end") for batch in out for each in batch]
    assert order == ["content", "content", "content", "tool_calls", "tool_calls", "end"]
    assert assembled(out)["choices"][0]["message"]["content"] == "Ask s"
    assert finish_of(out) == "tool_calls"


async def test_a_secret_on_both_sides_of_something_else_is_one() -> None:
    end = [chunk({}, base=BASE, finish_reason="stop")]
    batches = [_delta(content="sk-AbCd"), _delta(reasoning_content="hm"), _delta(content="EfGh1234"), end]
    message = assembled(await _answer(batches))["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("[key]", "hm")


async def test_every_text_of_an_answer_is_looked_at() -> None:
    message = {
        "content": f"a {SECRET}",
        "reasoning_content": f"b {SECRET}",
        "refusal": f"c {SECRET}",
        "thinking_blocks": [
            {"type": "thinking", "thinking": SECRET, "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
        ],
        "citations": [{"cited_text": SECRET}],
        "tool_calls": [
            {
                "id": "1",
                "type": "function",
                "function": {"name": "f", "arguments": orjson.dumps({"x": SECRET}).decode()},
            },
            {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    answer = completion(message, model="m", provider_note=SECRET)
    out = await _answer([chunks_of(answer)])
    got = assembled(out)["choices"][0]["message"]
    assert b"AbCdEfGh" not in orjson.dumps(out)
    assert [got[name] for name in ("content", "reasoning_content", "refusal")] == ["a [key]", "b [key]", "c [key]"]
    assert got["thinking_blocks"] == [{"type": "redacted_thinking", "data": "d"}]
    assert got["citations"] == [{"cited_text": "[key]"}]
    assert [call["function"] for call in got["tool_calls"]] == [
        {"name": "f", "arguments": '{"x":"[key]"}'},
        {"name": "g", "arguments": "{}"},
    ]


@pytest.mark.parametrize("cut", range(1, 40, 2))
async def test_arguments_of_tool_calls_are_read_as_json_wherever_they_are_cut(cut: int) -> None:
    arguments = r'{"a": "s\u006b-AbCdEfGh1234", "b": "ok"}'
    calls = [_call(0, "", id="c", type="function"), _call(0, arguments[:cut]), _call(0, arguments[cut:])]
    end = [chunk({}, base=BASE, finish_reason="tool_calls")]
    out = await _answer([*(_delta(tool_calls=[call]) for call in calls), end])
    (call,) = assembled(out)["choices"][0]["message"]["tool_calls"]
    assert call == {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":"[key]","b":"ok"}'}}


async def test_spoken_words_and_fields_of_a_chunk_that_nobody_knows() -> None:
    batches = [
        _delta(audio={"id": "a", "data": "UklG", "transcript": "sk-AbCd"}),
        _delta(audio={"transcript": "EfGh12"}),
    ]
    batches[1][0]["moderation_note"] = f"said {SECRET}"
    out = await _answer([*batches, [chunk({}, base=BASE, finish_reason="stop")]])
    assert b"AbCd" not in orjson.dumps(out)
    assert b'"transcript":"[key]"' in orjson.dumps(out)
    assert b'"data":"UklG"' in orjson.dumps(out)


async def test_probabilities_do_not_spell_what_was_taken_out() -> None:
    piece = chunk({"content": SECRET}, base=BASE)
    piece["choices"][0]["logprobs"] = {"content": [{"token": "sk"}, {"token": "-AbCdEfGh1234"}]}
    end = chunk({}, base=BASE, finish_reason="stop")
    end["choices"][0]["logprobs"] = {"content": [{"token": SECRET}]}
    out = await _answer([[piece], [end]])
    assert text_of(out) == "[key]"
    assert b"AbCd" not in orjson.dumps(out)


async def test_the_agent_that_said_something_stays_with_it() -> None:
    def by(agent: str, text: str) -> list[JsonObject]:
        return [{**chunk({"content": text}, base=BASE), "trident": {"agent": agent}}]

    out = await _answer([by("a", "x sk"), by("b", "-AbCdEfGh1 y"), [chunk({}, base=BASE, finish_reason="stop")]])
    marked = [(each.get("trident"), text_of([[each]])) for batch in out for each in batch]
    assert marked == [({"agent": "a"}, "x "), ({"agent": "a"}, "[key] y"), (None, "")]


async def test_usage_stays() -> None:
    counted = {**BASE, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    last = {**chunk({"content": "s"}, base=BASE, finish_reason="stop"), "usage": counted["usage"]}
    out = await _answer([_delta(content="a"), [last], [counted]])
    assert text_of(out) == "as"
    assert [each["usage"]["total_tokens"] for batch in out for each in batch if each.get("usage")] == [3, 3]


async def test_a_beginning_that_never_ends_is_a_failure() -> None:
    endless = TextPattern("pem", r"(?s)BEGIN.*END", "redact", "", "")
    batches = said("BEGIN", *["x" * 50] * 10)
    with pytest.raises(FilterUnavailable):
        await _answer(batches, endless, max_match_bytes=300)
    out = await _answer(batches, endless, max_match_bytes=300, on_error="allow")
    assert text_of(out) == "BEGIN" + "x" * 500


async def test_what_waits_behind_a_beginning_is_bounded() -> None:
    piece = "x" * (answer_texts.MAX_WAITING_CHARS // 2)
    batches = [_delta(content="sk-"), *(_delta(reasoning_content=piece) for _ in range(3))]
    with pytest.raises(FilterUnavailable):
        await _answer(batches)
    message = assembled(await _answer(batches, on_error="allow"))["choices"][0]["message"]
    assert (message["content"], len(message["reasoning_content"])) == ("sk-", 3 * len(piece))


async def test_a_stream_that_breaks_off_gives_what_was_held() -> None:
    assert text_of(await _answer(said("a sk-", finish=False))) == "a sk-"


def test_a_filter_for_requests_only_looks_at_no_answer() -> None:
    filter_ = RegexFilter("f", [REDACT], [], max_match_bytes=100)
    assert filter_.answer_filter(request(), context()) is None
