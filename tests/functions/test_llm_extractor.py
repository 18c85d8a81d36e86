from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import orjson
import pytest

from router.context import RequestContext, Turn
from router.dialects.canonical import ChatRequest
from router.errors import GatewayError, ModelUnavailable, UpstreamUnreachable
from router.functions.cascade import CascadeExtractor, FallbackExtractor
from router.functions.extractor import ExtractedCall, Extraction, PendingCall
from router.functions.llm_extractor import LlmExtractor
from router.functions.targets import Parameter, Target
from tests.functions.apis import ScriptedExtractor, turns

WEATHER = Target("get weather", "Weather\nof a place.", (Parameter("city", "The city", required=True),))
STOCKS = Target("stocks", "Stocks.", (Parameter("symbol", "The symbol", required=True),))


def _answer(*calls: tuple[str, object], content: str | None = None) -> bytes:
    made = [
        {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}} for name, arguments in calls
    ]
    return orjson.dumps(
        {"choices": [{"message": {"role": "assistant", "content": content, "tool_calls": made or None}}]}
    )


def _extractor(answer: Callable[[dict[str, Any]], bytes]) -> tuple[LlmExtractor, list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []

    async def complete(request: ChatRequest, context: RequestContext) -> bytes:
        asked.append(dict(request.payload))
        assert context.remaining_s() <= 1
        return answer(asked[-1])

    return LlmExtractor(complete, "gpt", now=lambda: datetime(2026, 3, 1, 9, 30, tzinfo=timezone.utc)), asked


async def test_calls_of_the_model_are_calls_of_the_targets() -> None:
    extractor, asked = _extractor(
        lambda _: _answer(("get_weather", '{"city": "Oslo"}'), ("stocks", '{"symbol": "X"}'), ("get_weather", ""))
    )
    extraction = await extractor.extract([WEATHER, STOCKS], turns("Oslo, and X"), None, timeout_s=1)
    assert extraction.calls == (
        ExtractedCall("get weather", {"city": "Oslo"}),
        ExtractedCall("stocks", {"symbol": "X"}),
        ExtractedCall("get weather", {}),
    )
    request = asked[0]
    assert (request["model"], request["messages"][1:]) == ("gpt", [{"role": "user", "content": "Oslo, and X"}])
    assert "Sunday, 2026-03-01 09:30" in request["messages"][0]["content"]
    function = request["tools"][0]["function"]
    assert (function["name"], function["description"]) == ("get_weather", "Weather of a place.")
    assert "required" not in function["parameters"]


async def test_a_model_that_calls_nothing_finds_nothing() -> None:
    extractor, _ = _extractor(lambda _: _answer(content="Which city?"))
    assert await extractor.extract([WEATHER], turns("Weather"), None, timeout_s=1) == Extraction()


async def test_a_pending_call_is_told() -> None:
    extractor, asked = _extractor(lambda _: _answer())
    await extractor.extract(
        [WEATHER], turns("a", "b", "c"), PendingCall("get weather", {"days": 3}, "city"), timeout_s=1
    )
    said = asked[0]["messages"][0]["content"]
    assert "'city' of the function get_weather" in said
    assert '{"days":3}' in said


@pytest.mark.parametrize(
    "answer",
    [
        b"no JSON",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "stocks"}}]}}]}',
        _answer(("stocks", "{oops")),
    ],
)
async def test_an_answer_that_is_no_function_call_is_a_failure(answer: bytes) -> None:
    extractor, _ = _extractor(lambda _: answer)
    with pytest.raises(ModelUnavailable, match="no function call"):
        await extractor.extract([STOCKS], turns("x"), None, timeout_s=1)


async def test_calls_of_what_was_not_offered_are_dropped() -> None:
    extractor, _ = _extractor(lambda _: _answer(("rm_rf", "{}"), ("stocks", "[1]")))
    assert await extractor.extract([STOCKS], turns("x"), None, timeout_s=1) == Extraction()


async def test_a_model_that_takes_too_long_is_a_failure() -> None:
    async def silent(request: ChatRequest, context: RequestContext) -> bytes:
        await asyncio.Event().wait()
        return b""

    with pytest.raises(ModelUnavailable, match="in time"):
        await LlmExtractor(silent, "gpt").extract([STOCKS], turns("x"), None, timeout_s=0.01)


class _Counted:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class _Timed:
    """Finds nothing; ``given_s`` is the time that it got."""

    given_s = 0.0

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        self.given_s = timeout_s
        return Extraction()


class _Down:
    def __init__(self, error: GatewayError) -> None:
        self.error = error

    async def extract(self, *_: object, **__: object) -> Extraction:
        raise self.error


SURE = ExtractedCall("stocks", {"symbol": "X"})
UNSURE = ExtractedCall("stocks", {"symbol": "Y"}, uncertain=("symbol",))
GUESS = ExtractedCall("stocks", {}, confident=False)


def _finds(*calls: ExtractedCall) -> ScriptedExtractor:
    return ScriptedExtractor(lambda text, pending: calls)


async def test_what_is_sure_is_not_asked_twice() -> None:
    second = _finds(GUESS)
    cascade = CascadeExtractor(_finds(SURE), second, count_degraded=_Counted())
    assert (await cascade.extract([STOCKS], turns("x"), None, timeout_s=1)).calls == (SURE,)
    assert second.asked == []


@pytest.mark.parametrize("first", [(UNSURE,), (GUESS,), (SURE, UNSURE), ()])
async def test_what_is_not_sure_is_asked_of_the_model(first: tuple[ExtractedCall, ...]) -> None:
    cascade = CascadeExtractor(_finds(*first), _finds(SURE), count_degraded=_Counted())
    assert (await cascade.extract([STOCKS], turns("x"), None, timeout_s=1)).calls == (SURE,)


async def test_without_the_model_the_first_word_stands_and_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    counted = _Counted()
    cascade = CascadeExtractor(_finds(UNSURE), _Down(UpstreamUnreachable("gone")), count_degraded=counted)
    assert (await cascade.extract([STOCKS], turns("x"), None, timeout_s=1)).calls == (UNSURE,)
    assert counted.count == 1
    assert "function model unavailable" in caplog.text


async def test_a_model_that_is_down_has_a_stand_in() -> None:
    counted = _Counted()
    both = FallbackExtractor(_Down(ModelUnavailable("gone")), _finds(SURE), count_degraded=counted)
    assert (await both.extract([STOCKS], turns("x"), None, timeout_s=1)).calls == (SURE,)
    assert counted.count == 1
    up = FallbackExtractor(_finds(UNSURE), _finds(SURE), count_degraded=counted)
    assert (await up.extract([STOCKS], turns("x"), None, timeout_s=1)).calls == (UNSURE,)


async def test_a_model_that_is_slow_leaves_time_for_the_calls() -> None:
    then = _Timed()
    cascade = CascadeExtractor(_finds(UNSURE), then, count_degraded=_Counted())
    await cascade.extract([STOCKS], turns("x"), None, timeout_s=100)
    assert 40 < then.given_s <= 50
