from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from router.context import RequestContext, RouteDecision
from router.errors import FilterUnavailable, UpstreamProtocolError
from router.filters.base import AnswerFilter, Filter
from router.filters.chain import FilterChain
from router.filters.policy import Condition, FilterPolicy, PolicedFilter
from tests.fakes.counters import RecordedMetrics
from tests.filters.exchanges import context, finish_of, request, said, text_of, through
from tests.filters.scripted import ScriptedAnswer, ScriptedFilter, saying


def _fails(_: object) -> Any:
    raise RuntimeError("the prompt was: open sesame")


def _policed(filter_: Filter, recorded: RecordedMetrics | None = None, **policy: Any) -> PolicedFilter:
    return PolicedFilter(filter_, FilterPolicy(**policy), (recorded or RecordedMetrics()).metrics)


def _never() -> asyncio.Event:
    return asyncio.Event()


async def test_a_filter_that_fails_denies_and_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    recorded, asking = RecordedMetrics(), context()
    with caplog.at_level(logging.WARNING), pytest.raises(FilterUnavailable, match="'f' is not available") as caught:
        await _policed(ScriptedFilter(on=_fails), recorded).on_request(request(), asking)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (503, "filter_unavailable", True)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert recorded.count("trident.degraded", "filter") == 1
    (record,) = [record for record in caplog.records if record.message == "filter failed"]
    assert (record.filter, record.on_error, record.cause) == ("f", "deny", "RuntimeError")  # type: ignore[attr-defined]
    assert "sesame" not in str(record.__dict__)
    assert asking.degraded == []


async def test_a_filter_that_fails_may_be_passed_over_and_it_shows() -> None:
    recorded, asking, asked = RecordedMetrics(), context(), request()
    policed = _policed(ScriptedFilter(on=_fails), recorded, on_error="allow")
    assert await policed.on_request(asked, asking) is asked
    assert await policed.on_request(asked, asking) is asked
    assert asking.degraded == ["filter"]
    assert recorded.count("trident.degraded", "filter") == 2


@pytest.mark.parametrize("on_error", ["deny", "allow"])
async def test_a_filter_that_is_too_slow_has_failed(on_error: str, caplog: pytest.LogCaptureFixture) -> None:
    policed = _policed(ScriptedFilter(hold=_never()), timeout_s=0.01, on_error=on_error)
    asked = request()
    if on_error == "allow":
        assert await policed.on_request(asked, context()) is asked
    else:
        with pytest.raises(FilterUnavailable):
            await policed.on_request(asked, context())
    assert caplog.records[-1].cause == "timeout"  # type: ignore[attr-defined]


async def test_a_filter_has_no_longer_than_the_request() -> None:
    policed = _policed(ScriptedFilter(hold=_never()), timeout_s=60)
    with pytest.raises(FilterUnavailable):
        await policed.on_request(request(), context(remaining_s=0.01))


async def test_what_is_no_outcome_is_a_failure() -> None:
    with pytest.raises(FilterUnavailable):
        await _policed(ScriptedFilter(on=lambda _: {"messages": []})).on_request(request(), context())


async def test_a_cancelled_request_is_no_failure() -> None:
    recorded = RecordedMetrics()
    filter_ = ScriptedFilter(hold=_never())
    asking = asyncio.create_task(_policed(filter_, recorded).on_request(request(), context()))
    while not filter_.seen:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert recorded.count("trident.degraded") == 0


async def test_the_gateways_own_words_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: object) -> Any:
        raise UpstreamProtocolError("'f' answered with status 500.")

    with pytest.raises(FilterUnavailable):
        await _policed(ScriptedFilter(on=fails)).on_request(request(), context())
    assert caplog.records[-1].cause == "'f' answered with status 500."  # type: ignore[attr-defined]


async def _answered(answer: AnswerFilter, asking: RequestContext, **policy: Any) -> Any:
    policed = _policed(ScriptedFilter(answers=lambda: answer), **policy)
    outer = _policed(ScriptedFilter(answers=lambda: ScriptedAnswer(saying(str.upper))))
    return await through(FilterChain([], [outer, policed]).transform(request(), asking), said("a", "b", "c"))


@pytest.mark.parametrize("part", ["feed", "finish", "slow"])
async def test_an_answer_filter_that_fails_ends_the_answer(part: str) -> None:
    broken = {
        "feed": ScriptedAnswer(_fails),
        "finish": ScriptedAnswer(finish=lambda: _fails(None)),
        "slow": ScriptedAnswer(hold=_never()),
    }[part]
    with pytest.raises(FilterUnavailable, match="'f' is not available"):
        await _answered(broken, context(), timeout_s=0.01)


@pytest.mark.parametrize("part", ["feed", "finish", "slow", "nonsense"])
async def test_an_answer_filter_that_fails_may_be_passed_over_and_nothing_is_lost(part: str) -> None:
    kept: list[Any] = []

    def keep(chunks: list[Any]) -> Any:
        kept.extend(chunks)
        if part == "feed" and len(kept) > 2:
            _fails(None)
        return "nonsense" if part == "nonsense" else []

    def let_go() -> list[Any]:
        return kept

    broken = ScriptedAnswer(keep, lambda: _fails(None), let_go)
    if part == "slow":
        broken = ScriptedAnswer(hold=_never(), held=lambda: said("a")[0])
    asking = context()
    out = await _answered(broken, asking, timeout_s=0.01, on_error="allow")
    assert (text_of(out), finish_of(out)) == ("ABC", "stop")
    assert asking.degraded == ["filter"]


async def test_an_answer_filter_that_cannot_be_made_is_a_failure() -> None:
    def broken() -> AnswerFilter:
        raise RuntimeError

    policed = _policed(ScriptedFilter(answers=broken))
    with pytest.raises(FilterUnavailable):
        await through(FilterChain([], [policed]).transform(request(), context()), said("a"))
    lenient = _policed(ScriptedFilter(answers=broken), on_error="allow")
    assert await through(FilterChain([], [lenient]).transform(request(), context()), said("a")) == said("a")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(), True),
        (Condition(roles=["user"]), True),
        (Condition(roles=["tool", "assistant"]), False),
        (Condition(models=["openai/*", "m"]), True),
        (Condition(models=["openai/*"]), False),
        (Condition(models=["*"]), True),
        (Condition(paths=["/v1/chat/*"]), True),
        (Condition(paths=["/v1/messages"]), False),
        (Condition(models=["m"], paths=["/v1/messages"]), False),
        (Condition(agents=["weather"]), True),
    ],
)
async def test_a_filter_is_for_some_requests(condition: Condition, holds: bool) -> None:
    policed = _policed(ScriptedFilter(answers=ScriptedAnswer), when=condition)
    chain = FilterChain([policed], [policed])
    assert policed.applies(request(), context()) is holds
    assert (chain.transform(request(), context()) is not None) is holds


async def test_a_filter_that_a_request_is_not_for_is_not_asked() -> None:
    filter_ = ScriptedFilter()
    asked = request()
    chain = FilterChain([_policed(filter_, when=Condition(models=["other"]))], [])
    assert await chain.apply_request(asked, context()) is asked
    assert filter_.seen == []


def test_the_newest_message_is_the_one_that_counts() -> None:
    said_ = [{"role": "user", "content": "a"}, {"role": "tool", "content": "b", "tool_call_id": "c"}]
    asked = request(messages=said_)
    assert Condition(roles=["tool"]).holds(asked, context(), None)
    assert not Condition(roles=["user"]).holds(asked, context(), None)


def test_agents_are_those_of_the_chain_or_of_the_decision() -> None:
    condition = Condition(agents=["weather"])
    decided = replace(context(), decision=RouteDecision((("flights",), ("weather",)), "orchestrator"))
    other = replace(context(), decision=RouteDecision((("flights",),), "orchestrator"))
    assert condition.holds(request(), other, "weather")
    assert not condition.holds(request(), decided, "flights")
    assert condition.holds(request(), decided, None)
    assert not condition.holds(request(), other, None)
    assert condition.holds(request(), context(), None)


def test_a_sample_is_drawn_once_for_a_request_and_its_answer() -> None:
    draws = iter([0.2, 0.3])
    policed = PolicedFilter(
        ScriptedFilter(), FilterPolicy(sample=0.25), RecordedMetrics().metrics, random=lambda: next(draws)
    )
    first, second = context(), context()
    assert [policed.applies(request(), first) for _ in range(3)] == [True] * 3
    assert [policed.applies(request(), replace(second)) for _ in range(1)] == [False]


def test_no_sample_is_nobody_and_a_whole_one_is_everybody() -> None:
    assert not _policed(ScriptedFilter(), sample=0.0).applies(request(), context())
    assert _policed(ScriptedFilter(), sample=1.0).applies(request(), context())
